"""How far a dispatch is: the counts of a run are those of its chunks, whatever these are doing."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.runs import RunRow
from tests.integration.api.test_api import call
from tests.integration.chunks.desk import definition, set_up
from tests.support.chunk_rows import ENDED, Made, add_chunks, set_task
from tests.support.world import World
from workflows.states import TaskState

TEN = [(f"N{number:03}", "10.50") for number in range(10)]
MINUTE = timedelta(minutes=1)


def dispatching(world: World) -> RunRow:
    """A run with a dispatch that nobody works on."""
    if not world.sql("SELECT 1 FROM sluice.workflow WHERE key = 'post-orders'"):
        set_up(world, [])
        world.publish(definition())
    return world.start("post-orders")


def progress(world: World, run: RunRow, step: str = "each") -> dict[str, Any]:
    """What the run says of the dispatch."""
    shown = call(world, "runs_get", id=str(run.id)).body
    (task,) = (task for task in shown["tasks"] if task["step"] == step)
    found: dict[str, Any] = task["progress"]
    return found


def counts(found: dict[str, Any]) -> dict[str, int]:
    """Those that are not 0."""
    return {name: value for name, value in found.items() if type(value) is int and value}


def test_a_dispatch_that_has_not_begun_has_no_progress(world: World) -> None:
    run = dispatching(world)
    assert progress(world, run) is None


def test_the_progress_of_a_run_that_has_ended(world: World) -> None:
    set_up(world, [*TEN, ("N900", "5000000")])
    world.publish(definition(dispatch="      tolerate: 1"))
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    found = progress(world, run)
    assert counts(found) == {"total": 11, "succeeded": 10, "failed": 1}
    assert (found["planning"], found["rate"], found["eta"]) == (False, None, None)


def test_rate_and_eta_are_those_of_the_last_minute(world: World) -> None:
    run = dispatching(world)
    long_ago = [Made(TaskState.SUCCEEDED, 3 * MINUTE, 2 * MINUTE)] * 500
    lately = [Made(TaskState.SUCCEEDED, 3 * MINUTE, MINUTE / 2)] * 110 + [
        Made(TaskState.FAILED, MINUTE, MINUTE / 3)
    ] * 10
    add_chunks(world, run, [*long_ago, *lately, *[Made()] * 240])
    set_task(world, run, "RUNNING", planned=True)
    found = progress(world, run)
    assert found["rate"] == pytest.approx(2.0, rel=0.02)
    assert found["eta"] > (world.deployment.clock() + timedelta(seconds=100)).isoformat()[:19]
    assert found["eta"] < (world.deployment.clock() + timedelta(seconds=130)).isoformat()[:19]


def test_a_dispatch_that_began_a_moment_ago_is_not_thought_slow(world: World) -> None:
    run = dispatching(world)
    add_chunks(world, run, [Made(TaskState.SUCCEEDED, timedelta(seconds=10), timedelta(seconds=5))] * 50)
    set_task(world, run, "RUNNING", planned=True)
    assert progress(world, run)["rate"] == pytest.approx(5.0, rel=0.1)


def test_a_fast_dispatch_is_measured_by_its_last_thousand(world: World) -> None:
    run = dispatching(world)
    times = (timedelta(milliseconds=5 * number) for number in range(2_500))
    add_chunks(world, run, [Made(TaskState.SUCCEEDED, MINUTE, time) for time in times])
    set_task(world, run, "RUNNING", planned=True)
    assert progress(world, run)["rate"] == pytest.approx(200, rel=0.1)


@pytest.mark.parametrize(
    ("state", "planned", "ended", "rate"),
    [
        ("RUNNING", False, timedelta(seconds=20), True),
        ("RUNNING", True, 2 * MINUTE, True),
        ("SUSPENDED", True, timedelta(seconds=20), False),
    ],
    ids=["planning", "stalled", "paused"],
)
def test_no_eta_is_made_up(world: World, state: str, planned: bool, ended: timedelta, rate: bool) -> None:
    run = dispatching(world)
    add_chunks(world, run, [Made(TaskState.SUCCEEDED, 3 * MINUTE, ended), Made()])
    set_task(world, run, state, planned=planned)
    found = progress(world, run)
    assert found["eta"] is None
    assert (found["rate"] is not None) == rate
    assert found["planning"] is not planned


CHUNK = st.sampled_from(TaskState).flatmap(
    lambda state: st.builds(
        Made,
        st.just(state),
        st.just(2 * MINUTE) if state is not TaskState.PENDING else st.none(),
        st.sampled_from([timedelta(), MINUTE / 2, 2 * MINUTE]) if state in ENDED else st.none(),
        st.sampled_from([None, -MINUTE, MINUTE]) if state is TaskState.RUNNING else st.none(),
    )
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(CHUNK, max_size=30), planned=st.booleans())
def test_the_counts_are_those_of_the_chunks(world: World, chunks: list[Made], planned: bool) -> None:
    run = dispatching(world)
    add_chunks(world, run, chunks)
    set_task(world, run, "RUNNING", planned=planned)
    found = progress(world, run)
    states = Counter(chunk.state for chunk in chunks)
    retrying = sum(1 for chunk in chunks if chunk.wakes == MINUTE)
    expected = {
        "total": len(chunks),
        "succeeded": states[TaskState.SUCCEEDED],
        "failed": states[TaskState.FAILED],
        "skipped": states[TaskState.SKIPPED],
        "cancelled": states[TaskState.CANCELLED],
        "running": states[TaskState.RUNNING] - retrying,
        "waiting": states[TaskState.PENDING] + states[TaskState.SUSPENDED] + retrying,
    }
    assert {name: found[name] for name in expected} == expected
    assert found["total"] == sum(value for name, value in expected.items() if name != "total")
    listed = call(world, "runs_chunks", id=str(run.id)).body
    assert listed["counts"] == {state.value: states[state] for state in TaskState}
    left = expected["running"] + expected["waiting"]
    assert (found["eta"] is not None) == bool(planned and found["rate"] and left)
