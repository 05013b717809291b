"""Sweeps over runs with nested runs and chunks: who starts whom, who is told, who is not thought lost."""

from datetime import timedelta

import pytest

from activities.contract import ChunksInput, Next, Then
from activities.finishing import fail_run
from activities.run_chunks import run_chunks
from commands.orchestrations import Liveness
from commands.purging import sweep_leftovers
from commands.recovery import (
    NESTED_GRACE,
    PENDING_GRACE,
    SWEEPER,
    Swept,
    recover_lost_runs,
    start_pending_runs,
    sweep_runs,
)
from kernel.errors import InternalError
from orchestrators.names import CHUNK_RUN
from store.blobs import CONTEXT
from store.nested_waits import GRACE
from store.runs import RunRow
from tests.integration.chunks.desk import definition, desk, set_up, states
from tests.integration.chunks.nested import below, dispatching, nesting
from tests.integration.chunks.test_dispatch import TEN
from tests.integration.runs.test_operating import REFUSED, audited
from tests.integration.runs.test_recovery import actions, skip
from tests.integration.runs.test_repeats import hooked, raising
from tests.support.chunk_rows import Made, add_chunks, set_task
from tests.support.driving import Driver
from tests.support.operators import act, go_on
from tests.support.world import Unstarted, World, one_segment
from workflows.actions import Action
from workflows.states import RunState, TaskState

SECOND = timedelta(seconds=1)


def begun(world: World, options: str = "") -> tuple[RunRow, RunRow]:
    """A run, and the nested one that it has made; nobody has begun that."""
    run = nesting(world, options=options)
    assert one_segment(world.services, run.id).next is Next.NESTED
    (child,) = below(world, run)
    return run, child


def test_a_nested_run_is_left_to_the_run_above_it_for_a_while(world: World) -> None:
    run, child = begun(world)
    other = world.start("parent", file="x")
    durable = Unstarted()
    skip(world, PENDING_GRACE + SECOND)
    assert start_pending_runs(world.deployment, durable) == 1
    assert durable.started == [(other.id, 0, 0)]
    skip(world, NESTED_GRACE)
    start_pending_runs(world.deployment, durable)
    assert (child.id, 0, 0) in durable.started
    assert actions(world, child.id) == ["run.started", "run.started_by_sweep"]
    assert world.run(run.id).state is RunState.RUNNING


def test_a_run_is_told_that_its_nested_run_has_ended(world: World) -> None:
    run, child = begun(world)
    go_on(world, child)
    assert world.run(child.id).state is RunState.SUCCEEDED
    durable = Unstarted()
    assert sweep_runs(world.deployment, durable) == Swept(), "it will hear of it"
    skip(world, GRACE + SECOND)
    assert sweep_runs(world.deployment, durable) == Swept(woken=1)
    assert (durable.woken, actions(world, run.id)[-1]) == ([(run.id, 0)], "run.woken_by_sweep")
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert sweep_runs(world.deployment, durable) == Swept()


def test_a_run_that_looks_after_its_nested_run_later_is_told_now(world: World) -> None:
    """Its execution was replaced, so that it waits by the clock only."""
    run, child = begun(world)
    skip(world, timedelta(hours=1))
    durable = Unstarted()
    durable.alive[run.id, 0] = Liveness.MISSING
    assert recover_lost_runs(world.deployment, durable) == (1, 0)
    again = one_segment(world.services, run.id, execution=1)
    assert (again.next, again.wait_seconds) == (Next.NESTED, 0), "nobody has begun it"
    go_on(world, child)
    waiting = world.run(run.id)
    skip(world, GRACE + SECOND)
    sweep_runs(world.deployment, durable)
    assert (run.id, 1) in durable.woken
    assert waiting.execution == 1
    assert go_on(world, run).state is RunState.SUCCEEDED


def waiting_chunk(world: World) -> tuple[RunRow, RunRow]:
    """A run whose only chunk waits by the clock for its nested run, because whom it would have heard from is
    lost; that run has ended."""
    run = dispatching(world, files=1)
    assert one_segment(world.services, run.id, 0).next is Next.CONTINUE
    pages = one_segment(world.services, run.id, 1).pages
    assert pages is not None
    driver = Driver(world.services, lambda _time: None)
    asked = ChunksInput(str(run.id), 0, 0, "each", 0, 0, 1)
    assert run_chunks(world.services, asked).then is Then.NESTED
    (child,) = below(world, run)
    world.sql("UPDATE sluice.workflow_run SET state = 'RUNNING' WHERE id = %s RETURNING id", [child.id])
    assert driver.run(CHUNK_RUN, asked.to_dict()) == {"stopped": False}, "it is looked after later"
    assert one_segment(world.services, run.id, 1).next is Next.RETRY
    world.sql("UPDATE sluice.workflow_run SET state = 'PENDING' WHERE id = %s RETURNING id", [child.id])
    return run, go_on(world, child)


def test_a_chunk_is_told_that_its_nested_run_has_ended(world: World) -> None:
    run, child = waiting_chunk(world)
    assert child.state is RunState.SUCCEEDED
    durable = Unstarted()
    skip(world, GRACE + SECOND)
    assert sweep_runs(world.deployment, durable) == Swept(woken=1)
    assert durable.woken == [(run.id, 0)]
    assert one_segment(world.services, run.id, 1).next is Next.DISPATCH, "and not to wait on"
    run = go_on(world, run)
    assert (run.state, states(world, run)) == (RunState.SUCCEEDED, {"SUCCEEDED": 1}), run.failure
    assert len(below(world, run)) == 1


# Who is not lost --------------------------------------------------------------------------------------


def silent(world: World, run: RunRow) -> None:
    """The run itself has given no sign of life for a long time."""
    world.sql(
        "UPDATE sluice.workflow_run SET heartbeat_at = %s, created_at = %s, wake_at = NULL WHERE id = %s"
        " RETURNING id",
        [world.deployment.clock() - timedelta(hours=3)] * 2 + [run.id],
    )


@pytest.mark.parametrize("state", ["RUNNING", "SUSPENDED", "PENDING"])
def test_a_run_whose_nested_run_goes_on_for_hours_is_not_lost(world: World, state: str) -> None:
    run, child = begun(world)
    silent(world, run)
    world.sql(
        "UPDATE sluice.workflow_run SET state = %s, heartbeat_at = %s WHERE id = %s RETURNING id",
        [state, world.deployment.clock(), child.id],
    )
    durable = Unstarted()
    assert recover_lost_runs(world.deployment, durable) == (0, 0)
    assert durable.stopped == []


def test_a_run_is_lost_that_does_not_hear_of_its_nested_runs_end(world: World) -> None:
    run, child = begun(world)
    go_on(world, child)
    silent(world, run)
    durable = Unstarted()
    assert recover_lost_runs(world.deployment, durable) == (0, 0), "that has only just ended"
    skip(world, world.deployment.recovery.silent_after + SECOND)
    silent(world, run)
    assert recover_lost_runs(world.deployment, durable) == (1, 0)


HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("chunk", "lost"),
    [
        (Made(TaskState.RUNNING, began=MINUTE), 0),
        (Made(TaskState.RUNNING, began=HOUR, wakes=MINUTE), 0),
        (Made(TaskState.SUCCEEDED, began=HOUR, ended=MINUTE), 0),
        (Made(TaskState.FAILED, began=HOUR, ended=MINUTE), 0),
        (Made(TaskState.RUNNING, began=HOUR), 1),
        (Made(TaskState.SUCCEEDED, began=2 * HOUR, ended=HOUR), 1),
        (Made(), 1),
    ],
    ids=["begun", "waits", "succeeded", "failed", "hangs", "long ago", "never begun"],
)
def test_a_run_whose_chunks_go_on_is_not_lost(world: World, chunk: Made, lost: int) -> None:
    set_up(world, [])
    world.publish(definition())
    run = world.start("post-orders")
    add_chunks(world, run, [chunk])
    set_task(world, run, "RUNNING", planned=True)
    silent(world, run)
    durable = Unstarted()
    assert recover_lost_runs(world.deployment, durable) == (lost, 0)
    assert len(durable.stopped) == lost


def test_a_dispatch_that_was_lost_goes_on_in_the_next_execution_and_posts_once(world: World) -> None:
    """Chunks of the old execution that are still being worked on change nothing more."""
    set_up(world, TEN)
    world.publish(definition(dispatch="      concurrency: 1"))
    run, durable = world.start("post-orders"), Unstarted()
    durable.alive[run.id, 0] = Liveness.MISSING

    def lose() -> None:
        if world.run(run.id).execution == 0 and len(desk(world)) == 3:
            silent(world, run)
            assert recover_lost_runs(world.deployment, durable) == (1, 0)

    go_on(world, run, hooked(world, before_push=lose))
    assert len(desk(world)) == 4, "the one in flight, and none after it"
    assert world.run(run.id).state is RunState.RUNNING
    run = go_on(world, run)
    assert (run.state, run.execution) == (RunState.SUCCEEDED, 1), run.failure
    assert [number for number, _ in desk(world)] == [number for number, _ in TEN]
    assert states(world, run) == {"SUCCEEDED": 10}


# Who is left behind -----------------------------------------------------------------------------------


def failed_without(world: World, run: RunRow) -> None:
    """The run fails though its nested run goes on: it is past its timeout, for example."""
    fail_run(world.services, world.run(run.id), None, InternalError("over"), 0)


def test_a_nested_run_ends_with_a_run_that_failed_without_it(world: World) -> None:
    run, child = begun(world)
    failed_without(world, run)
    durable = Unstarted()
    assert sweep_runs(world.deployment, durable) == Swept()
    skip(world, GRACE + SECOND)
    assert sweep_runs(world.deployment, durable).cancelled == 1
    assert world.run(child.id).state is RunState.CANCELLED
    assert ("run.cancelled", SWEEPER, None) in audited(world, child)
    assert sweep_runs(world.deployment, durable).cancelled == 0


def test_a_nested_run_that_goes_on_without_the_other_is_left_alone(world: World) -> None:
    run, child = begun(world, options="when_cancelled: leave")
    failed_without(world, run)
    skip(world, GRACE + SECOND)
    assert sweep_runs(world.deployment, Unstarted()).cancelled == 0
    assert go_on(world, child).state is RunState.SUCCEEDED


def test_a_nested_run_that_somebody_has_retried_is_left_alone(world: World) -> None:
    run = go_on(world, nesting(world), hooked(world, before_push=raising(REFUSED)))
    (child,) = below(world, run)
    assert (run.state, child.state) == (RunState.FAILED, RunState.FAILED)
    act(world, child, Action.RETRY)
    skip(world, GRACE + SECOND)
    assert sweep_runs(world.deployment, Unstarted()).cancelled == 0
    assert go_on(world, child).state is RunState.SUCCEEDED


# Leftovers --------------------------------------------------------------------------------------------


def test_pages_of_runs_that_have_ended_go_and_those_of_others_stay(world: World) -> None:
    set_up(world, TEN)
    world.publish(definition())
    ended, going = world.start("post-orders"), world.start("post-orders")
    assert one_segment(world.services, going.id).next is Next.DISPATCH
    go_on(world, ended)
    page = f"{ended.id}/0000/each/page-000000"
    world.services.blobs.write(CONTEXT, page, b"left by a worker that died")
    durable = Unstarted()
    assert sweep_leftovers(world.deployment, durable) == (1, 0)
    left = set(world.services.blobs.names(CONTEXT))
    assert page not in left
    assert f"{going.id}/0000/each/page-000000" in left


def test_old_histories_of_all_orchestrations_go(world: World) -> None:
    durable = Unstarted()
    sweep_leftovers(world.deployment, durable)
    (before,) = durable.purged_before
    kept = world.deployment.recovery.history_kept
    assert abs(world.deployment.clock() - kept - before) < timedelta(minutes=1)


class Forgetful(Unstarted):
    """Durable execution that cannot purge by time."""

    def purge_begun_before(self, time: object) -> int:
        """No answer within its time."""
        raise TimeoutError


def test_a_purge_that_takes_too_long_is_tried_again_by_the_next_sweep(world: World) -> None:
    assert sweep_leftovers(world.deployment, Forgetful()) == (0, 0)
