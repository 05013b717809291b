"""Chunks that wait: for room at their connector as long as it takes, for others as often as they may."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.contract import Operation
from kernel.errors import SystemUnavailable
from kernel.secrets import Secret
from localhost.services.stack import Endpoints
from store.gates import Gates
from store.slots import SlotTable
from tests.integration.chunks.desk import definition, desk, set_up, states
from tests.integration.chunks.test_dispatch import TEN
from tests.integration.runs.test_repeats import Hooked, hooked, raising
from tests.support.eventually import eventually
from tests.support.world import SteppingClock, World, drive

WINDOW = "window"
POSTED = """
        - key: priced
          transform: {sql: "SELECT number, amount FROM chunk"}
        - key: posted
          push: {connector: window, operation: post, records: priced, key: [number]}
          retry: {attempts: 2}
"""
DOWN = SystemUnavailable("The desk does not answer.")


@pytest.fixture
def orders(world: World, stack: Endpoints) -> World:
    """Ten orders; they are posted through a connector with which one step works at a time."""
    table = SlotTable(Secret(stack.storage_connection_string))
    table.ensure()
    for row in table.look(f"sandbox:{WINDOW}").rows:
        table.delete(row)
    set_up(world, TEN)
    copied = "system, secrets, created_by, created_at, updated_at"
    world.sql(
        f"INSERT INTO sluice.connector (key, settings, {copied}) SELECT %s, settings || %s::jsonb, {copied}"
        " FROM sluice.connector WHERE key = 'desk' RETURNING key",
        [WINDOW, '{"concurrency": 1}'],
    )
    return world


def attempts(world: World) -> set[tuple[Any, ...]]:
    """Of all chunks' writes: number of the attempt, and what those before ended with how often in a row."""
    rows = world.sql("SELECT attempt, attempts FROM sluice.task_run WHERE step_key = 'posted'")
    return {(number, *((one["code"], one["times"]) for one in earlier)) for number, earlier in rows}


@pytest.mark.parametrize("batch", [1, 5])
def test_chunks_wait_for_room_and_use_up_no_attempt(orders: World, batch: int) -> None:
    orders.publish(definition(POSTED, dispatch=f"      batch: {batch}"))
    run, clock, outside = orders.start("post-orders"), orders.services.clock, ExitStack()
    assert isinstance(clock, SteppingClock)
    waits = iter(range(3 * 10 // batch))
    clock.before_skip = lambda: outside.close() if next(waits, None) is None else None
    outside.enter_context(orders.services.gates.enter(WINDOW, "sandbox", 1))
    assert drive(orders.services, run.id) == {"state": "SUCCEEDED"}, orders.run(run.id).failure
    assert (states(orders, run), len(desk(orders))) == ({"SUCCEEDED": 10}, 10)
    found = attempts(orders)
    assert {number for number, *_ in found} == {1}, found
    waited = [times for _, *earlier in found for code, times in earlier if code == "busy"]
    assert max(waited) > 2, "more often than it may fail"
    assert max(len(one) for one in found) == 2, "all waits are one attempt"


@pytest.mark.parametrize("batch", [1, 5])
def test_chunks_fail_after_as_many_attempts_as_they_have(orders: World, batch: int) -> None:
    orders.publish(definition(POSTED, dispatch=f"      batch: {batch}"))
    run = orders.start("post-orders")
    drive(hooked(orders, before_push=raising(*[DOWN] * 100)), run.id)
    assert states(orders, run) == {"FAILED": 10}
    assert attempts(orders) == {(2, ("system_unavailable", 1), ("system_unavailable", 1))}


class Atomic(Hooked):
    """Each chunk's records are a batch of their own."""

    @property
    def operations(self) -> Mapping[str, Operation]:
        """The real operations, which accept a batch as a whole."""
        return {name: replace(one, atomic=True) for name, one in super().operations.items()}


def test_a_place_is_kept_from_chunk_to_chunk(orders: World, stack: Endpoints) -> None:
    orders.publish(definition(POSTED, dispatch="      batch: 5"))
    run, storage, seen = orders.start("post-orders"), Secret(stack.storage_connection_string), list[bool]()

    def is_over() -> bool:
        look = SlotTable(storage).look(f"sandbox:{WINDOW}")
        return look.at is not None and all(row.is_over(look.at) for row in look.rows)

    def slow() -> None:
        seen.append(is_over())
        if len(seen) < 3:
            eventually(is_over, what="the lease is over")

    services = orders.with_adapter(lambda inner: Atomic(inner, after_push=slow))  # type: ignore[return-value,arg-type]
    drive(replace(services, gates=Gates(storage, timedelta(seconds=1))), run.id)
    assert (states(orders, run), seen) == ({"SUCCEEDED": 10}, [False] * 10)
