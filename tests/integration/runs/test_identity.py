"""What identifies a record, what is set aside of it, and what is never said of it."""

import unicodedata

from tests.integration.runs.test_segments import CANARY, LOG, definition, everything_stored
from tests.support.world import SMALL_LOG, World
from workflows.states import RunState


def test_a_name_in_another_unicode_form_is_not_posted_again(world: World) -> None:
    world.publish()
    rows = [(*SMALL_LOG[0][:2], "Zoë Ünal", *SMALL_LOG[0][3:])]
    other = [tuple(unicodedata.normalize("NFD", value) for value in row) for row in rows]
    assert other != rows
    counts = [world.tasks(world.post(log).id)["post"].counts or {} for log in (rows, other)]
    assert [(one["posted"], one["already_posted"]) for one in counts] == [(1, 0), (0, 1)]
    assert len(world.ledger()) == 1


def test_equal_rejects_are_kept_one_by_one_and_once_each(world: World) -> None:
    world.publish(definition(key="[activity]"))
    run = world.finish(world.start("two-writes", file=world.upload([LOG[0]] * 4)))
    assert (world.tasks(run.id)["post_first"].counts or {})["rejected"] == 3
    kept = world.sql("SELECT count(*) FROM sluice.dead_letter WHERE step_key = 'post_first'")
    assert kept == [(3,)]


def test_a_record_without_any_key_value_is_set_aside(world: World) -> None:
    nothing = definition(key="[case_id]").replace(
        "SELECT case_id, activity, resource AS worker",
        "SELECT nullif(case_id, '1') AS case_id, activity, resource AS worker",
    )
    world.publish(nothing)
    run = world.finish(world.start("two-writes", file=world.upload(LOG)))
    assert run.state is RunState.SUCCEEDED, run.failure
    reasons = {reason for (reason,) in world.sql("SELECT reason FROM sluice.dead_letter")}
    assert "Every column of `key` is empty, so nothing identifies the record." in reasons
    assert all(line["proved"] for line in run.totals or [])


def test_facts_from_sensitive_columns_decide_but_are_not_said(world: World) -> None:
    facts = "SELECT count(*) AS total, sum(amount) AS rejected FROM first"
    curious = definition().replace(facts, "SELECT max(worker) AS who, count(*) AS total FROM first")
    for start in ("Nob", CANARY[:3]):
        rule = f"{{deny: \"who.startsWith('{start}')\", because: 'Not ${{{{ who }}}}.'}}"
        world.publish(curious.replace("{deny: total > 1000, because: Too many.}", rule))
        world.finish(world.start("two-writes", file=world.upload(LOG)))
    ended = world.sql("SELECT state, failure ->> 'message' FROM sluice.workflow_run ORDER BY created_at")
    assert ended == [("SUCCEEDED", None), ("FAILED", "Not [redacted].")]
    assert CANARY not in everything_stored(world)
