"""Watching a run: nothing is missed whatever is committed when, counts come now and then, and it ends."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.audience import Audience
from kernel.ids import new_id
from store.runs import RunRow
from tests.integration.api.test_api import Reply, call
from tests.integration.api.test_nested_workflows import definition as nesting
from tests.integration.api.unsettled import LONG
from tests.integration.chunks.desk import definition, set_up
from tests.integration.chunks.test_progress import TEN, dispatching
from tests.support.chunk_rows import Made, add_chunks, set_task
from tests.support.eventually import eventually
from tests.support.operators import act
from tests.support.world import SMALL_LOG, World, drive
from workflows.actions import Action


def watch(world: World, run: RunRow, after: str | None = None, wait: int = 0) -> Reply:
    """One answer of the feed."""
    query = {"wait": str(wait), **({} if after is None else {"after": after})}
    reply = call(world, "runs_events", id=str(run.id), query=query)
    assert reply.status == 200, reply.body
    return reply


def told(world: World, run: RunRow, after: str | None = None) -> list[dict[str, Any]]:
    """The events behind a cursor, without the fields that are empty."""
    return [
        {name: value for name, value in event.items() if value is not None}
        for event in watch(world, run, after).body["events"]
    ]


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Type, step and state of events."""
    return [tuple(event[name] for name in ("type", "step", "state") if name in event) for event in events]


def test_a_run_is_told_from_its_beginning_to_its_end(world: World) -> None:
    world.publish()
    run = world.post(SMALL_LOG)
    events = told(world, run)
    assert kinds(events)[0] == ("run", "PENDING")
    assert [kind for kind in kinds(events) if kind[0] == "run"] == [
        ("run", "PENDING"), ("run", "RUNNING"), ("run", "SUCCEEDED"),
    ]  # fmt: skip
    assert [kind[2] for kind in kinds(events) if kind[:2] == ("step", "post")] == [
        "PENDING", "RUNNING", "SUCCEEDED",
    ]  # fmt: skip
    assert kinds(events)[-1] == ("final", "SUCCEEDED")
    assert events[1] == {**events[1], "type": "step", "actor": "local:ada"}
    assert run.finished_at is not None
    assert events[-1]["at"] == run.finished_at.isoformat().replace("+00:00", "Z")


def test_a_cursor_goes_on_where_it_was_however_often_it_is_used(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    before = watch(world, run).body
    assert {event["state"] for event in before["events"]} == {"PENDING"}
    assert told(world, run, before["next"]) == []
    drive(world.services, run.id)
    after = told(world, run, before["next"])
    assert ("run", "PENDING") not in kinds(after)
    assert kinds(after)[-1] == ("final", "SUCCEEDED")
    assert told(world, run, before["next"]) == after
    behind = watch(world, run, before["next"]).body["next"]
    assert kinds(told(world, run, behind)) == [("final", "SUCCEEDED")], "the end is told whenever one asks"


def test_a_retried_run_goes_on_behind_its_end(world: World) -> None:
    set_up(world, [("A", "5000000")])
    world.publish(definition())
    run = world.finish(world.start("post-orders"))
    behind = watch(world, run).body["next"]
    act(world, run, Action.RETRY)
    assert kinds(told(world, run, behind)) == [("run", "RUNNING")]


# Whatever is committed when ---------------------------------------------------------------------------


def numbers(world: World, ids: list[UUID]) -> list[tuple[int, UUID, str]]:
    """What the database has recorded of things: number, thing and new state."""
    query = "SELECT id, entity_id, after FROM sluice.state_transition WHERE entity_id = ANY(%s) ORDER BY id"
    return [(number, thing, after) for number, thing, after in world.sql(query, [ids])]


def test_a_change_that_is_committed_late_is_told_all_the_same(world: World) -> None:
    world.publish()
    run = world.start(file="x")
    tasks = world.tasks(run.id)
    early, late = tasks["post"].id, tasks["work_log"].id
    move = "UPDATE sluice.task_run SET state = 'RUNNING' WHERE id = %s"
    cursor = watch(world, run).body["next"]
    with psycopg.connect(world.owner_url) as slow:
        slow.execute(move, [late])
        with psycopg.connect(world.owner_url) as quick:
            quick.execute(move, [early])
        first = watch(world, run, cursor).body
        assert [event["step"] for event in first["events"]] == ["post"]
    assert [thing for _, thing, after in numbers(world, [early, late]) if after == "RUNNING"] == [late, early]
    assert kinds(told(world, run, first["next"])) == [("step", "work_log", "RUNNING")]


OPEN, COMMIT, WATCH = "open", "commit", "watch"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(
        st.tuples(st.sampled_from([OPEN, COMMIT, WATCH]), st.integers(0, 6), st.integers(0, 6)), max_size=25
    )
)
def test_every_change_is_told_once_whatever_is_committed_when(
    world: World, actions: list[tuple[str, int, int]]
) -> None:
    """Transactions change one or two things each; several are open, and end in any order."""
    run = started(world)
    things = [run.id, *(task.id for task in world.tasks(run.id).values())]
    seen, cursor = list[tuple[str | None, str]](), None
    transactions = list[tuple[ExitStack, set[UUID]]]()
    with ExitStack() as everything:
        for what, one, other in actions:
            free = [thing for thing in things if all(thing not in held for _, held in transactions)]
            if what == OPEN and free:
                chosen = {free[one % len(free)], free[other % len(free)]}
                transactions.append((everything.enter_context(changing(world, chosen)), chosen))
            elif what == COMMIT and transactions:
                transactions.pop(one % len(transactions))[0].close()
            else:
                body = watch(world, run, cursor).body
                cursor, seen = body["next"], [*seen, *changes(body)]
    body = watch(world, run, cursor).body
    seen += changes(body)
    steps = {run.id: None, **{task.id: key for key, task in world.tasks(run.id).items()}}
    recorded = [(steps[thing], after) for _, thing, after in numbers(world, things)]
    assert sorted(seen, key=str) == sorted(recorded, key=str)
    for thing in things:
        mine = [state for step, state in seen if step == steps[thing]]
        assert mine == [state for step, state in recorded if step == steps[thing]], "in its own order"


def started(world: World) -> RunRow:
    if not world.sql("SELECT 1 FROM sluice.workflow"):
        world.publish()
    return world.start(file="x")


def changes(body: dict[str, Any]) -> list[tuple[str | None, str]]:
    return [(event["step"], event["state"]) for event in body["events"] if event["type"] in ("run", "step")]


def changing(world: World, chosen: set[UUID]) -> ExitStack:
    """An open transaction in which these things have another state; closing it commits."""
    stack = ExitStack()
    connection = stack.enter_context(psycopg.connect(world.owner_url))
    for table in ("workflow_run", "task_run"):
        connection.execute(
            f"UPDATE sluice.{table} SET state = CASE state WHEN 'PENDING' THEN 'RUNNING' ELSE 'PENDING' END"
            " WHERE id = ANY(%s)",
            [list(chosen)],
        )
    return stack


# Counts -----------------------------------------------------------------------------------------------


def test_a_dispatch_is_told_in_counts_and_not_chunk_by_chunk(world: World) -> None:
    set_up(world, TEN)
    world.publish(definition())
    run = world.finish(world.start("post-orders"))
    events = told(world, run)
    (found,) = [event for event in events if event["type"] == "progress"]
    assert (found["step"], found["progress"]["succeeded"], found["progress"]["total"]) == ("each", 10, 10)
    assert {kind[1] for kind in kinds(events) if kind[0] == "step"} == {"each"}
    assert len(events) < len(TEN)


def test_progress_is_told_when_it_changes_and_once_a_second_at_most(world: World) -> None:
    run = dispatching(world)
    add_chunks(world, run, [Made()] * 5)
    set_task(world, run, "RUNNING", planned=True)
    first = watch(world, run).body
    assert [event["progress"]["waiting"] for event in first["events"] if event["progress"]] == [5]
    world.sql("UPDATE sluice.chunk_run SET state = 'SUCCEEDED', finished_at = now() RETURNING id")
    asked, began = 0, time.monotonic()

    def news() -> Any:
        nonlocal asked
        asked += 1
        return told(world, run, first["next"])

    (event,) = eventually(news, what="the next progress")
    assert asked > 1, "not at once"
    assert time.monotonic() - began < 5
    assert (event["progress"]["succeeded"], event["progress"]["waiting"]) == (5, 0)


def test_the_last_progress_is_told_before_the_end_however_soon_it_is(world: World) -> None:
    run = dispatching(world)
    add_chunks(world, run, [Made()] * 5)
    set_task(world, run, "RUNNING", planned=True)
    cursor = watch(world, run).body["next"]
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("UPDATE sluice.chunk_run SET state = 'FAILED'")
        owner.execute("UPDATE sluice.workflow_run SET state = 'FAILED', finished_at = now()")
    events = told(world, run, cursor)
    assert kinds(events) == [("run", "FAILED"), ("progress", "each"), ("final", "FAILED")]
    assert events[1]["progress"]["failed"] == 5


def test_dead_letters_are_counted_by_step(world: World) -> None:
    world.publish()
    run = world.post([*SMALL_LOG, LONG])
    (event,) = [event for event in told(world, run) if event["type"] == "dead_letters"]
    assert event["dead_letters"] == {"costs": {"kept": 1, "open": 1}}


def test_nested_runs_are_told_with_their_states(world: World) -> None:
    world.publish(nesting("child"))
    world.publish(nesting("parent", "child"))
    run = world.finish(world.start("parent"))
    (event,) = [event for event in told(world, run) if event["type"] == "children"]
    (child,) = event["children"]
    assert (child["step"], child["workflow"], child["state"]) == ("r0", "child", "SUCCEEDED")
    assert call(world, "runs_get", id=str(run.id)).body["children"] == event["children"]
    below = call(world, "runs_get", id=child["id"]).body
    assert (below["parent_run_id"], below["parent_step"], below["depth"]) == (str(run.id), "r0", 1)
    assert below["root_run_id"] == str(run.id)
    listed = call(world, "runs_list", query={"parent": str(run.id)}).body["items"]
    assert [one["id"] for one in listed] == [child["id"]]


# Waiting ----------------------------------------------------------------------------------------------


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def test_who_waits_hears_of_a_change_soon(world: World, pool: ThreadPoolExecutor) -> None:
    run = started(world)
    cursor = watch(world, run).body["next"]
    began = time.monotonic()
    waiting = pool.submit(watch, world, run, cursor, 20)
    eventually(lambda: waits(world), what="somebody waits")
    act(world, run, Action.CANCEL)
    assert waiting.result(15).body["events"][-1]["type"] == "final"
    assert time.monotonic() - began < 15


def waits(world: World) -> bool:
    """Whether a place to wait in is taken: there are two."""
    with world.deployment.audience.place() as first, world.deployment.audience.place() as second:
        return not (first and second)


def test_nothing_new_is_said_when_the_time_is_over(world: World) -> None:
    run = started(world)
    cursor = watch(world, run).body["next"]
    began = time.monotonic()
    reply = watch(world, run, cursor, 1)
    assert 1 <= time.monotonic() - began < 10
    assert reply.body == {"events": [], "next": cursor}


def test_where_all_places_are_taken_nobody_waits(world: World, pool: ThreadPoolExecutor) -> None:
    crowded = replace(world, deployment=replace(world.deployment, audience=Audience(places=1)))
    run = started(world)
    cursor = watch(world, run).body["next"]
    with crowded.deployment.audience.place() as taken:
        assert taken
        reply = pool.submit(watch, crowded, run, cursor, 20).result(10)
    assert (reply.body["events"], reply.headers["Retry-After"]) == ([], "1")


def test_a_place_is_free_again_behind_who_waited(world: World) -> None:
    run = started(world)
    cursor = watch(world, run).body["next"]
    for _ in range(3):
        assert "Retry-After" not in watch(world, run, cursor, 1).headers


def test_what_takes_long_to_count_is_counted_rarely() -> None:
    audience, run, counted = Audience(), new_id(), list[int]()

    def count() -> int:
        counted.append(1)
        return len(counted)

    assert [audience.counted(run, count, fresh=False) for _ in range(3)] == [1, 1, 1]
    assert audience.counted(run, count, fresh=True) == 2
    assert audience.counted(run, count, fresh=False) == 2
    assert audience.counted(new_id(), count, fresh=False) == 3


# What cannot be meant ---------------------------------------------------------------------------------


def cursor_of(**changes: Any) -> str:
    values = {"run": str(new_id()), "numbers": [], "counts": {}, "at": None, **changes}
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


@pytest.mark.parametrize(
    "after",
    ["", "x", "e30=", cursor_of(), cursor_of(numbers=[-1]), cursor_of(numbers=[2**70]), cursor_of(at="1"),
     cursor_of(more=1)],
)  # fmt: skip
def test_a_foreign_cursor_is_refused(world: World, after: str) -> None:
    reply = call(world, "runs_events", id=str(started(world).id), query={"after": after})
    assert (reply.status, reply.body["code"]) == (400, "invalid_request")
    assert "start again without it" in reply.body["detail"]


def test_a_cursor_with_another_number_of_steps_is_refused(world: World) -> None:
    run = started(world)
    reply = call(
        world, "runs_events", id=str(run.id), query={"after": cursor_of(run=str(run.id), numbers=[1])}
    )
    assert reply.status == 400


@pytest.mark.parametrize("wait", ["-1", "21", "1.5", "soon", "200"])
def test_waits_are_bounded(world: World, wait: str) -> None:
    reply = call(world, "runs_events", id=str(started(world).id), query={"wait": wait})
    assert (reply.status, "0 to 20" in reply.body["detail"]) == (400, True)


def test_a_run_that_is_not_there_is_404(world: World) -> None:
    assert call(world, "runs_events", id=str(new_id())).status == 404
