"""Approvals inside a chunk: the others go on, and it goes on when somebody has decided."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from commands.deciding import Decision, decide
from orchestrators.names import WORKFLOW_RUN
from store.runs import RunRow
from tests.integration.chunks.desk import definition, desk, failed, set_up, states
from tests.support.approvals import CARLA, CONTROLLERS, asked, say, skip
from tests.support.driving import Driver
from tests.support.operators import act
from tests.support.world import SteppingClock, Unstarted, World
from workflows.actions import Action
from workflows.states import RunState

STEPS = f"""
        - key: priced
          transform: {{sql: "SELECT number, amount FROM chunk"}}
          measures: {{amount: sum(amount)}}
        - key: limit
          govern:
            facts: SELECT sum(amount) AS total FROM priced
            rules: [{{approve: total > 100, by: [{CONTROLLERS}], due: 2h, because: Large order}}]
        - key: posted
          push: {{connector: desk, operation: post, records: priced, key: [number]}}
"""
ORDERS = [("A1", "10.00"), ("A2", "500.00"), ("A3", "20.00"), ("A4", "900.00")]


LONG = timedelta(minutes=10)


class Waits(Exception):
    """The run waits for people."""


def until_it_waits(world: World, run: RunRow) -> RunRow:
    """Drive the run until it has ended or waits for longer than ten minutes."""
    clock = cast(SteppingClock, world.services.clock)

    def skipping(time: timedelta) -> None:
        if time > LONG:
            raise Waits
        clock.skip(time)

    with suppress(Waits):
        Driver(world.services, skipping).run(WORKFLOW_RUN, {"run_id": str(run.id)})
    return world.run(run.id)


@pytest.fixture(params=[1, 4], ids=["alone", "in a batch"])
def waiting(world: World, request: pytest.FixtureRequest) -> RunRow:
    """A run of which two chunks wait for people, and two are done."""
    set_up(world, ORDERS)
    world.publish(definition(STEPS, f"      batch: {request.param}"))
    return until_it_waits(world, world.start("post-orders"))


def test_the_others_go_on(world: World, waiting: RunRow) -> None:
    assert waiting.state is RunState.RUNNING
    assert states(world, waiting) == {"SUCCEEDED": 2, "SUSPENDED": 2}
    assert [number for number, _ in desk(world)] == ["A1", "A3"]
    requests = asked(world, waiting)
    assert [row.summary["chunk"] for row in requests] == [{"number": "A2"}, {"number": "A4"}]
    assert all(row.chunk_id is not None for row in requests)
    tasks = world.sql("SELECT state FROM sluice.task_run WHERE step_key = 'limit' ORDER BY state")
    assert [state for (state,) in tasks] == ["SUCCEEDED", "SUCCEEDED", "SUSPENDED", "SUSPENDED"]


def test_one_goes_on_when_it_is_approved_and_the_other_still_waits(world: World, waiting: RunRow) -> None:
    first, second = asked(world, waiting)
    client = Unstarted()
    decide(world.deployment, Decision(first.id, "approve"), CARLA, client)
    assert client.woken == [(waiting.id, 0)]
    run = until_it_waits(world, waiting)
    assert states(world, run) == {"SUCCEEDED": 3, "SUSPENDED": 1}
    assert [number for number, _ in desk(world)] == ["A1", "A2", "A3"]
    say(world, second.id, CARLA)
    assert until_it_waits(world, run).state is RunState.SUCCEEDED
    assert len(desk(world)) == 4
    assert len(asked(world, run)) == 2


def test_a_rejected_chunk_fails_alone(world: World, waiting: RunRow) -> None:
    first, second = asked(world, waiting)
    say(world, first.id, CARLA, "reject", "Too large")
    say(world, second.id, CARLA)
    run = until_it_waits(world, waiting)
    assert run.state is RunState.FAILED
    assert [chunk.failure["message"] for chunk in failed(world, run.id) if chunk.failure] == [
        "Rejected: Too large"
    ]
    assert [number for number, _ in desk(world)] == ["A1", "A3", "A4"]


def test_a_chunk_that_nobody_decides_ends(world: World, waiting: RunRow) -> None:
    skip(world, hours=2)
    run = until_it_waits(world, waiting)
    assert run.state is RunState.FAILED
    assert [row.state.value for row in asked(world, run)] == ["EXPIRED", "EXPIRED"]


def test_cancelling_the_run_ends_what_its_chunks_ask(world: World, waiting: RunRow) -> None:
    act(world, waiting, Action.CANCEL)
    assert until_it_waits(world, waiting).state is RunState.CANCELLED
    assert [row.state.value for row in asked(world, waiting)] == ["CANCELLED", "CANCELLED"]


BEFORE = f"""
workflow: post-orders
steps:
  - key: orders
    fetch: {{connector: desk, operation: orders}}
    measures: {{amount: sum(amount)}}
    sensitive: [secret]
  - key: all_of_it
    govern:
      facts: SELECT sum(amount) AS total FROM orders
      rules: [{{approve: total > 100, by: [{CONTROLLERS}], because: Large batch}}]
  - key: each
    dispatch:
      over: orders
      key: [number]
      steps:
        - key: priced
          transform: {{sql: "SELECT number, amount FROM chunk"}}
        - key: posted
          push: {{connector: desk, operation: post, records: priced, key: [number]}}
"""


def test_a_whole_dispatch_waits_behind_a_question(world: World) -> None:
    set_up(world, ORDERS)
    world.publish(BEFORE)
    run = until_it_waits(world, world.start("post-orders"))
    assert run.state is RunState.SUSPENDED
    assert (states(world, run), desk(world)) == ({}, [])
    (request,) = asked(world, run)
    assert [(one["step"], one["records"], one["measures"]) for one in request.summary["writes"]] == [
        ("each", 4, {"amount": "1430.00"})
    ]
    say(world, request.id, CARLA)
    assert until_it_waits(world, run).state is RunState.SUCCEEDED
    assert len(desk(world)) == 4


def test_a_dispatch_of_other_records_asks_again(world: World) -> None:
    set_up(world, ORDERS)
    world.publish(BEFORE)
    run = until_it_waits(world, world.start("post-orders"))
    say(world, asked(world, run)[0].id, CARLA)
    row = world.run(run.id)
    held = world.services.contexts.load_held(world.deployment.database, row)
    records = held["orders"].records
    assert records is not None
    held["orders"] = replace(held["orders"], records=replace(records, rows=records.rows[1:]))
    world.services.contexts.hold(world.deployment.database, row, "all_of_it", held, "sluice")
    assert until_it_waits(world, run).state is RunState.SUSPENDED
    assert [one.state.value for one in asked(world, run)] == ["CANCELLED", "REQUESTED"]
    assert desk(world) == []
