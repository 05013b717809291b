"""What operators do to runs with nested runs: these hear of it at once, or go on as they are told."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import psycopg
import pytest

from activities.contract import Next
from commands.foreseen import Forecast, NestedCounts
from kernel.ids import new_id
from store.runs import RunRow
from tests.integration.api.test_api import call
from tests.integration.chunks.nested import below, dispatching, nesting, running
from tests.integration.runs.test_operating import REFUSED, audited
from tests.integration.runs.test_operators_at_once import at_once
from tests.integration.runs.test_repeats import hooked, raising
from tests.support.eventually import eventually
from tests.support.operators import OPERATOR, act, at, foreseen, go_on, log, plain
from tests.support.world import SteppingClock, Unstarted, World, one_segment
from workflows.actions import Action
from workflows.states import RunState

LINES = 5
BLOCKED = (
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE datname = current_database() AND NOT granted"
)
OPEN = "SELECT count(*) FROM sluice.workflow_run WHERE state IN ('PENDING', 'RUNNING', 'SUSPENDED')"


def while_posting(world: World, run: RunRow, action: Action, client: Unstarted | None = None) -> Forecast:
    """Act on a run while what it runs posts its second line; what was foreseen then."""
    found = list[Forecast]()

    def ask() -> None:
        found.append(foreseen(world, run, action))
        act(world, run, action, client=client)

    go_on(world, run, hooked(world, batch_size=1, before_push=at(2, ask)))
    return found[0]


def test_cancelling_reaches_the_nested_run_at_once(world: World) -> None:
    run, client = nesting(world), Unstarted()
    found = while_posting(world, run, Action.CANCEL, client)
    assert found.nested == NestedCounts(ends=1)
    assert "1 nested runs end too" in found.summary
    (child,) = below(world, run)
    assert (child.state, world.run(run.id).state) == (RunState.CANCELLED, RunState.CANCELLED)
    assert len(world.ledger()) == 2, "the line in flight, and none after it"
    assert client.woken == [(run.id, 0), (child.id, 0)]
    assert ("run.cancel_requested", OPERATOR, "because") in audited(world, child)


def test_a_run_that_is_to_be_left_goes_on(world: World) -> None:
    run, client = nesting(world, options="when_cancelled: leave"), Unstarted()
    found = while_posting(world, run, Action.CANCEL, client)
    assert found.nested == NestedCounts(goes_on=1)
    (child,) = below(world, run)
    assert (child.state, world.run(run.id).state) == (RunState.SUCCEEDED, RunState.CANCELLED)
    assert len(world.ledger()) == LINES
    assert client.woken == [(run.id, 0)]
    shown = call(world, "runs_get", id=str(run.id)).body["children"]
    assert [(one["id"], one["detached"]) for one in shown] == [(str(child.id), True)]


def test_a_nested_run_that_nobody_has_begun_ends_at_once(world: World) -> None:
    run, client = nesting(world), Unstarted()
    assert one_segment(world.services, run.id).next is Next.NESTED
    act(world, run, Action.CANCEL, client=client)
    (child,) = below(world, run)
    assert (child.state, client.woken) == (RunState.CANCELLED, [(run.id, 0)])
    assert [action for action, _, _ in audited(world, child)] == [
        "run.started", "run.cancel_requested", "run.cancelled",
    ]  # fmt: skip
    assert one_segment(world.services, child.id).next is Next.ENDED
    assert go_on(world, run).state is RunState.CANCELLED


def levels(world: World) -> list[RunRow]:
    """Three runs, each nested in the one before; nobody has begun the last one."""
    world.publish(plain())
    world.publish(running("middle"))
    world.publish(running("top", "middle"))
    top = world.start("top", file=world.upload(log(LINES)))
    one_segment(world.services, top.id)
    (middle,) = below(world, top)
    one_segment(world.services, middle.id)
    return [top, middle, *below(world, middle)]


def test_cancelling_reaches_all_levels(world: World) -> None:
    top, middle, bottom = levels(world)
    client = Unstarted()
    act(world, top, Action.CANCEL, client=client)
    assert client.woken == [(top.id, 0), (middle.id, 0)], "nobody has begun the last one"
    assert [world.run(run.id).requested for run in (top, middle)] == ["cancel", "cancel"]
    assert world.run(bottom.id).state is RunState.CANCELLED
    assert {go_on(world, run).state for run in (middle, top)} == {RunState.CANCELLED}


def test_cancelling_a_paused_run_ends_a_paused_nested_run(world: World) -> None:
    run = nesting(world)
    one_segment(world.services, run.id)
    (child,) = below(world, run)
    act(world, child, Action.PAUSE)
    act(world, run, Action.PAUSE)
    assert {go_on(world, one).state for one in (child, run)} == {RunState.SUSPENDED}
    client = Unstarted()
    act(world, run, Action.CANCEL, client=client)
    assert client.woken == [(run.id, 0), (child.id, 0)]
    assert {go_on(world, one).state for one in (child, run)} == {RunState.CANCELLED}


def test_operators_on_all_levels_at_once_do_not_block_each_other(world: World) -> None:
    for _ in range(6):
        runs = levels(world)
        at_once(*(partial(act, world, run, Action.CANCEL) for run in [*runs, *reversed(runs)]))
        for run in reversed(runs):
            go_on(world, run)
    assert world.sql(OPEN) == [(0,)]


def test_a_nested_run_that_is_made_at_this_moment_is_not_forgotten(world: World) -> None:
    top, middle, bottom = levels(world)
    columns = "workflow, version_id, environment, state, inputs, requested_by, created_at, parent_step, depth"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(world.owner_url) as maker:
        maker.execute("SELECT FROM sluice.workflow_run WHERE id = %s FOR SHARE", [middle.id])
        maker.execute(
            f"INSERT INTO sluice.workflow_run (id, parent_run_id, {columns})"
            f" SELECT %s, %s, {columns} FROM sluice.workflow_run WHERE id = %s",
            [made := new_id(), middle.id, bottom.id],
        )
        cancelling = pool.submit(act, world, top, Action.CANCEL)
        eventually(lambda: world.sql(BLOCKED) == [(1,)], what="who cancels waits for whoever makes a run")
        maker.commit()
        cancelling.result(10)
    assert [world.run(run_id).state for run_id in (made, bottom.id)] == [RunState.CANCELLED] * 2


def test_a_paused_run_lets_its_nested_run_go_on_and_takes_up_what_came_of_it(world: World) -> None:
    run = nesting(world)
    found = while_posting(world, run, Action.PAUSE)
    assert (found.nested, "1 nested runs go on" in found.summary) == (NestedCounts(goes_on=1), True)
    (child,) = below(world, run)
    assert (child.state, world.run(run.id).state) == (RunState.SUCCEEDED, RunState.SUSPENDED)
    act(world, run, Action.RESUME)
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert (len(below(world, run)), len(world.ledger())) == (1, LINES)


# Retry ------------------------------------------------------------------------------------------------


def test_a_retry_takes_up_the_nested_run_with_all_it_was_refused(world: World) -> None:
    run = nesting(world, child="timeout: 1h")
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger ADD CONSTRAINT closed CHECK (case_id <> '0001')")
    run = go_on(world, run)
    (child,) = below(world, run)
    assert (run.state, child.state, len(world.ledger())) == (RunState.FAILED, RunState.FAILED, LINES - 1)
    found = foreseen(world, run, Action.RETRY)
    assert [(step.step, step.will, step.known) for step in found.steps] == [("child", "goes_on", False)]
    assert "'child' takes up or starts a nested run, which has a forecast of its own" in found.summary
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger DROP CONSTRAINT closed")
    clock = world.deployment.clock
    assert isinstance(clock, SteppingClock)
    clock.skip(timedelta(hours=2))
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert run.state is RunState.SUCCEEDED, run.failure
    (again,) = below(world, run)
    assert (again.id, again.execution, len(world.ledger())) == (child.id, 1, LINES)
    assert again.deadline_at is not None
    assert again.deadline_at > clock(), "it has its time anew"


def test_a_nested_run_that_was_repaired_by_itself_is_taken_as_it_is(world: World) -> None:
    run = go_on(world, nesting(world), hooked(world, before_push=raising(REFUSED)))
    (child,) = below(world, run)
    act(world, child, Action.RETRY)
    assert go_on(world, child).state is RunState.SUCCEEDED
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert (run.state, world.run(child.id).execution, len(below(world, run))) == (RunState.SUCCEEDED, 1, 1)


def test_a_retry_of_a_dispatch_retries_the_runs_that_failed(world: World) -> None:
    run = go_on(world, dispatching(world), hooked(world, before_push=raising(None, REFUSED)))
    states = [child.state for child in below(world, run)]
    assert (run.state, sorted(states)) == (RunState.FAILED, ["FAILED", "SUCCEEDED", "SUCCEEDED"])
    found = foreseen(world, run, Action.RETRY)
    (each,) = (step for step in found.steps if step.step == "each")
    assert each.chunks is not None
    assert (each.chunks.runs, each.chunks.stands, each.known) == (1, 2, False)
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert run.state is RunState.SUCCEEDED, run.failure
    assert sorted(child.execution for child in below(world, run)) == [0, 0, 1]
    assert len(world.ledger()) == 6
    listed = call(world, "runs_chunks", id=str(run.id)).body["items"]
    shown = call(world, "chunks_get", id=listed[0]["id"]).body
    assert shown["child"]["id"] == listed[0]["child_run_id"] == str(below(world, run)[0].id)
    assert shown["child"]["state"] == "SUCCEEDED"
    assert call(world, "runs_get", id=str(run.id)).body["children"] == [], "they are found by their chunks"


@pytest.mark.parametrize("action", [Action.CANCEL, Action.PAUSE])
def test_a_run_without_nested_runs_tells_of_none(world: World, action: Action) -> None:
    assert foreseen(world, nesting(world), action).nested == NestedCounts()
