"""Dead letters that are taken up again: checked, governed and posted like any other record."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest

from commands.dead_letters import Retry, retry_letters
from store.runs import RunRow
from tests.integration.runs.test_exactly_once import Killed
from tests.integration.runs.test_postings import counts, states
from tests.integration.runs.test_repeats import hooked, raising, replaced
from tests.integration.runs.test_segments import CANARY, LOG, definition, everything_stored
from tests.support.operators import OLIVE, OPERATOR
from tests.support.world import SMALL_LOG, Unstarted, World, drive, one_segment
from workflows.states import RunState, TaskState

LONG = ("4", "Pay Invoice", "Cat Cue", "2024-03-01T08:00:00+02:00", "2024-03-02T14:00:00+02:00")


def letters(world: World, run_id: UUID | None = None) -> list[UUID]:
    """The dead letters of a run, or all."""
    rows = world.sql("SELECT id, run_id FROM sluice.dead_letter ORDER BY id")
    return [letter_id for letter_id, of_run in rows if run_id in (None, of_run)]


def letter_states(world: World) -> list[str]:
    """The states of all dead letters."""
    return [state for (state,) in world.sql("SELECT state FROM sluice.dead_letter ORDER BY id")]


def retried(world: World, ids: Sequence[UUID], edit: Mapping[str, Any] | None = None) -> RunRow:
    """A repair run of these letters, not executed yet."""
    edits = {ids[0]: edit} if edit else {}
    asked = Retry(ids, edits, dict.fromkeys(edits, "/edit"), "Times were corrected.", OLIVE)
    return retry_letters(world.deployment, asked, Unstarted())


def with_reject(world: World) -> RunRow:
    """A finished run that has set one record aside, and whose source is gone."""
    world.publish()
    name = world.upload([*SMALL_LOG, LONG])
    run = world.finish(world.start(file=name))
    assert (run.state, letter_states(world)) == (RunState.SUCCEEDED, ["OPEN"])
    world.services.blobs.write("files", name, b"\x00gone", overwrite=True)
    return run


def test_a_record_is_posted_once_it_was_edited(world: World) -> None:
    original = with_reject(world)
    run = retried(world, letters(world), {"worked_seconds": 10_800, "amount": "99.50"})
    assert (run.repair_of, run.version_id, run.inputs) == (original.id, original.version_id, original.inputs)
    assert (run.requested_by, run.reason) == (OPERATOR, "Times were corrected.")
    done, tasks = world.finish(run), world.tasks(run.id)
    assert done.state is RunState.SUCCEEDED, done.failure
    assert [key for key, task in tasks.items() if task.state is TaskState.SKIPPED] == [
        "work_log", "entries_valid", "rates",
    ]  # fmt: skip
    assert [line[:4] for line in world.ledger()][-1] == ("4", "Pay Invoice", "Cat Cue", 10_800)
    amounts = next(line for line in done.totals or [] if line["measure"] == "amount")
    assert (amounts["read"], amounts["posted"], amounts["proved"]) == ("99.50", "99.50", True)
    assert world.sql("SELECT state, retry_run, resolved_by FROM sluice.dead_letter") == [
        ("RETRIED", run.id, OPERATOR)
    ]


def test_what_is_still_wrong_is_set_aside_again(world: World) -> None:
    with_reject(world)
    first = world.finish(retried(world, letters(world)))
    assert (first.state, letter_states(world)) == (RunState.SUCCEEDED, ["RETRIED", "OPEN"])
    assert counts(world, first, "costs") == {"records": 1, "rejected": 1}
    second = world.finish(retried(world, letters(world, first.id), {"worked_seconds": 60}))
    assert (second.repair_of, second.state) == (first.id, RunState.SUCCEEDED)
    assert (letter_states(world), len(world.ledger())) == (["RETRIED", "RETRIED"], 3)


def test_policies_hold_for_edited_records_and_a_failed_repair_can_be_asked_for_again(world: World) -> None:
    with_reject(world)
    ids = letters(world)
    denied = world.finish(retried(world, ids, {"worked_seconds": 60, "amount": "2500.01"}))
    assert (denied.state, (denied.failure or {})["code"]) == (RunState.FAILED, "policy_denied")
    assert len(world.ledger()) == 2
    run = world.finish(retried(world, ids, {"worked_seconds": 60, "amount": "2499.99"}))
    assert (run.state, len(world.ledger())) == (RunState.SUCCEEDED, 3)
    stale = world.sql("SELECT before, after FROM sluice.state_transition WHERE entity_id = %s", [ids[0]])
    assert stale[-2:] == [("RETRIED", "OPEN"), ("OPEN", "RETRIED")]


def test_a_repair_run_that_lost_its_letters_to_another_says_so(world: World) -> None:
    with_reject(world)
    ids = letters(world)
    first = retried(world, ids)
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("UPDATE sluice.workflow_run SET state = 'FAILED' WHERE id = %s", [first.id])
    retried(world, ids)
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("UPDATE sluice.workflow_run SET state = 'PENDING' WHERE id = %s", [first.id])
    ended = world.finish(first)
    assert ended.state is RunState.FAILED
    assert "taken up by another run" in (ended.failure or {})["message"]


def test_what_the_system_refused_is_posted_once_it_takes_it(world: World) -> None:
    world.publish()
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger ADD CONSTRAINT short_lines CHECK (worked_seconds < 7200)")
    world.post(SMALL_LOG)
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger DROP CONSTRAINT short_lines")
    run = world.finish(retried(world, letters(world)))
    assert (run.state, counts(world, run)["posted"]) == (RunState.SUCCEEDED, 1)
    assert (states(world), len(world.ledger())) == ({"CONFIRMED": 2}, 2)


@pytest.mark.parametrize("when", ["before_push", "after_push"])
def test_a_repair_that_dies_is_repeated_and_posts_once(world: World, when: str) -> None:
    with_reject(world)
    run = retried(world, letters(world), {"worked_seconds": 60})
    with pytest.raises(Killed):
        one_segment(hooked(world, **{when: raising(Killed())}), run.id)
    assert (world.finish(run).state, len(world.ledger())) == (RunState.SUCCEEDED, 3)


def test_sensitive_values_stay_sealed_on_their_way(world: World) -> None:
    inherited = definition(key="[activity]").replace("    sensitive: [worker]\n", "")
    world.publish(inherited)
    world.finish(world.start("two-writes", file=world.upload(LOG)))
    ids = [row[0] for row in world.sql("SELECT id FROM sluice.dead_letter WHERE step_key = 'post_first'")]
    run = retried(world, ids[:1], {"activity": "Repaired Here", "worker": f"{CANARY} Two"})
    done = world.finish(run)
    assert done.state is RunState.SUCCEEDED, done.failure
    assert [line[1:3] for line in world.ledger()].count(("Repaired Here", f"{CANARY} Two")) == 2
    stored = everything_stored(world)
    assert CANARY not in stored
    assert CANARY.encode().hex() not in stored
    shown = world.sql(
        "SELECT shown FROM sluice.posting WHERE run_id = %s AND step_key = 'post_second'", [run.id]
    )
    assert [values["worker"] for (values,) in shown] == ["[redacted]"]


def test_a_letter_is_superseded_when_its_record_goes_on_and_open_when_it_does_not(world: World) -> None:
    world.publish()
    name = world.upload([*SMALL_LOG, LONG])
    run = world.start(file=name)
    rows = {"OPEN": [*SMALL_LOG, LONG], "SUPERSEDED": SMALL_LOG}
    for expected in ("OPEN", "SUPERSEDED", "OPEN", "SUPERSEDED"):
        replaced(world, name, rows[expected])
        with pytest.raises(Killed):
            one_segment(
                hooked(world, before_fetch=raising(None, None, Killed()), before_push=raising(Killed())),
                run.id,
            )
        assert letter_states(world) == [expected]
    drive(world.services, run.id)
    assert (world.run(run.id).state, letter_states(world)) == (RunState.SUCCEEDED, ["SUPERSEDED"])


def test_a_letter_that_someone_dealt_with_is_not_opened_by_a_repeat(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload([*SMALL_LOG, LONG]))
    with pytest.raises(Killed):
        one_segment(hooked(world, before_push=raising(Killed())), run.id)
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("UPDATE sluice.dead_letter SET state = 'DISCARDED'")
    world.finish(run)
    assert letter_states(world) == ["DISCARDED"]


def test_a_reject_of_a_later_write_leaves_the_earlier_write_alone(world: World) -> None:
    world.publish(definition())
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger ADD CONSTRAINT closed CHECK (case_id <> '2-b')")
    world.finish(world.start("two-writes", file=world.upload(LOG)))
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger DROP CONSTRAINT closed")
    refused = world.sql("SELECT id FROM sluice.dead_letter WHERE strpos(reason, 'closed') > 0")
    run = world.finish(retried(world, [letter_id for (letter_id,) in refused]))
    tasks = world.tasks(run.id)
    assert run.state is RunState.SUCCEEDED, run.failure
    assert {key for key, task in tasks.items() if task.state is not TaskState.SKIPPED} == {
        "second",
        "post_second",
    }
    assert (counts(world, run, "post_second")["posted"], len(world.ledger())) == (1, 6)
    assert [line["step"] for line in run.totals or []] == ["post_second"]
