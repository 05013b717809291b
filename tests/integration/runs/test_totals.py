"""Books that do not balance at the end of a run end it FAILED, and say where."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from adapters.contract import Idempotency
from store.runs import RunRow
from tests.integration.runs.test_exactly_once import Killed
from tests.integration.runs.test_repeats import hooked, raising, replaced
from tests.integration.runs.test_segments import LOG, definition
from tests.support.world import SMALL_LOG, World, drive, one_segment
from workflows.states import RunState


def faults(run: RunRow) -> list[str]:
    """The codes of a run that could not prove its totals."""
    assert run.state is RunState.FAILED
    failure = run.failure or {}
    assert failure["code"] == "totals_not_proved", failure
    return [fault["code"] for fault in failure["faults"]]


def changed_between_segments(world: World, statement: str, *arguments: Any) -> RunRow:
    """A run of two writes; behind its back something is changed after the first."""
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    one_segment(world.services, run.id)
    with psycopg.connect(world.owner_url) as owner:
        assert owner.execute(statement, arguments).rowcount == 1
    drive(world.services, run.id, segment=1)
    return world.run(run.id)


@pytest.mark.parametrize("fate", ["posted", "already_posted", "rejected", "held"])
def test_a_fate_that_counts_a_record_too_many_is_noticed(world: World, fate: str) -> None:
    statement = (
        "UPDATE sluice.task_run SET measures = jsonb_set(measures, ARRAY['records', %s],"
        " to_jsonb((measures #>> ARRAY['records', %s])::int + 1)) WHERE step_key = 'post_first'"
    )
    assert faults(changed_between_segments(world, statement, fate, fate)) == ["unbalanced"]


def test_a_record_that_was_read_and_went_nowhere_is_noticed(world: World) -> None:
    statement = (
        "UPDATE sluice.task_run SET measures = jsonb_set(measures, '{records,total}', '5')"
        " WHERE step_key = 'first'"
    )
    assert faults(changed_between_segments(world, statement)) == ["unbalanced"]


def test_a_posting_that_the_ledger_lost_is_noticed(world: World) -> None:
    statement = "DELETE FROM sluice.posting WHERE id = (SELECT min(id::text)::uuid FROM sluice.posting)"
    assert faults(changed_between_segments(world, statement)) == ["ledger_differs"]


def test_a_call_with_old_values_that_was_taken_after_all_is_noticed(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    run = world.start(file=name)
    with pytest.raises(Killed):
        one_segment(hooked(world, idempotency=Idempotency.LOOKUP, after_push=raising(Killed())), run.id)
    replaced(world, name, [(*row[:4], row[4].replace("30:00+", "31:00+")) for row in SMALL_LOG])
    world.services.clock.skip(timedelta(minutes=5))  # type: ignore[attr-defined]
    drive(hooked(world, idempotency=Idempotency.LOOKUP), run.id)
    assert faults(world.run(run.id)) == ["ledger_differs"]
    assert len(world.ledger()) == 2


def test_a_duplicate_that_is_gone_when_the_run_is_repeated_is_noticed(world: World) -> None:
    world.publish(definition(key="[case_id, activity]"))
    name = world.upload([*LOG, LOG[0]])
    run = world.start("two-writes", file=name)
    contexts = type(world.services.contexts).__new__(type(world.services.contexts))
    contexts.__dict__.update(world.services.contexts.__dict__, save=lambda *_: raising(Killed())())
    with pytest.raises(Killed):
        one_segment(replace(world.services, contexts=contexts), run.id)
    replaced(world, name, LOG)
    ended = world.finish(run)
    assert (ended.failure or {})["step"] == "post_first"
    assert "The source changed" in (ended.failure or {})["message"]
