"""Dispatches over real services: every record a chunk, every chunk posted once."""

from decimal import Decimal

import pytest

from tests.integration.chunks.desk import add_orders, definition, desk, failed, set_up, states
from tests.support.world import World

TEN = [(f"N{number:03}", "10.50") for number in range(10)]


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_every_record_is_a_chunk_and_is_posted_once(world: World, batch: int) -> None:
    """With a batch of one and of many the outcome is the same."""
    set_up(world, TEN)
    world.publish(definition(dispatch=f"      batch: {batch}"))
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    assert desk(world) == [(number, Decimal(amount)) for number, amount in TEN]
    assert states(world, run) == {"SUCCEEDED": 10}
    task = world.tasks(run.id)["each"]
    assert task.counts == {"records": 10, "rejected": 0, "succeeded": 10, "failed": 0, "skipped": 0}
    assert task.measures is not None
    assert task.measures["ordered"] == {"total": "105.00", "rejected": 0}
    assert task.measures["priced"]["amount"] == {"total": "105.00", "rejected": "0"}
    totals = {line["measure"]: line for line in run.totals or []}
    assert totals["amount"]["read"] == totals["amount"]["posted"] == "105.00"
    assert totals["records"]["posted"] == "10"


def test_a_failing_chunk_leaves_the_others_alone(world: World) -> None:
    """The desk refuses one order; the rest is posted, and the run fails for the one."""
    set_up(world, [*TEN, ("N900", "5000000")])
    world.publish(definition(dispatch="      batch: 4"))
    run = world.finish(world.start("post-orders"))
    assert run.state == "FAILED"
    assert run.failure is not None
    assert run.failure["code"] == "chunks_failed"
    assert "1 of 11 chunks" in run.failure["message"]
    assert "N900" in run.failure["faults"][0]["message"]
    assert len(desk(world)) == 10
    assert states(world, run) == {"SUCCEEDED": 10, "FAILED": 1}
    assert [chunk.shown for chunk in failed(world, run.id)] == [{"number": "N900"}]


def test_tolerated_failures_do_not_fail_the_run(world: World) -> None:
    """What a failed chunk would have posted is held, and the totals are proved."""
    set_up(world, [*TEN, ("N900", "5000000")])
    world.publish(definition(dispatch='      tolerate: "10%"'))
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    totals = {line["measure"]: line for line in run.totals or []}
    assert totals["amount"]["read"] == "5000105.00"
    assert totals["amount"]["posted"] == "105.00"
    assert Decimal(totals["amount"]["held"]) + Decimal(totals["amount"]["rejected"]) == 5000000


def test_stop_begins_no_more_chunks(world: World) -> None:
    """After the first failure nothing new begins; what has not begun waits for a retry."""
    set_up(world, [("A", "5000000"), *TEN])
    world.publish(definition(dispatch="      on_failure: stop\n      concurrency: 1"))
    run = world.finish(world.start("post-orders"))
    assert run.state == "FAILED"
    assert states(world, run) == {"FAILED": 1, "PENDING": 10}
    assert desk(world) == []


def test_records_without_a_key_of_their_own_are_set_aside(world: World) -> None:
    """A missing and a repeated key become dead letters when the step says so."""
    set_up(world, [("N1", "1"), ("N1", "2"), (None, "3"), ("N2", "4")])
    world.publish(definition(after="    rejects: dead_letter"))
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    assert len(desk(world)) == 2
    letters = world.sql("SELECT faults->0->>'code' FROM sluice.dead_letter WHERE run_id = %s", [run.id])
    assert sorted(letters) == [("duplicate_key",), ("no_key",)]


def test_an_empty_source_is_no_chunk(world: World) -> None:
    """Nothing to do is done."""
    set_up(world, [])
    world.publish(definition())
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    assert (world.tasks(run.id)["each"].counts or {})["records"] == 0


def test_many_pages_take_all_records_in_order(world: World) -> None:
    """More than a portion, and not a whole number of pages."""
    orders = [(f"N{number:05}", "1.00") for number in range(1_234)]
    set_up(world, orders)
    world.publish(definition(dispatch="      batch: 50\n      concurrency: 4"))
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    assert [number for number, _ in desk(world)] == [number for number, _ in orders]
    numbers = world.sql("SELECT number, shown->>'number' FROM sluice.chunk_run ORDER BY number")
    assert numbers == [(at, number) for at, (number, _) in enumerate(orders)]


def test_records_of_an_earlier_step_are_chunks(world: World) -> None:
    """`over` names a step; its records cross to the dispatch sealed."""
    set_up(world, TEN)
    text = definition(over="chosen").replace(
        "steps:\n  - key: each",
        "steps:\n  - key: orders\n    fetch: {connector: desk, operation: orders}\n"
        "  - key: chosen\n    transform:\n      sql: SELECT * FROM orders WHERE number < 'N005' ORDER BY 1\n"
        "  - key: each",
    )
    world.publish(text)
    run = world.finish(world.start("post-orders"))
    assert run.state == "SUCCEEDED", run.failure
    assert [number for number, _ in desk(world)] == [f"N{number:03}" for number in range(5)]


def test_a_retry_runs_only_what_failed(world: World) -> None:
    """What is done stays done; an order that vanished meanwhile is skipped, a new one is taken up."""
    set_up(world, [*TEN, ("N900", "5000000"), ("N901", "6000000")])
    world.publish(definition(dispatch="      batch: 4"))
    run = world.finish(world.start("post-orders"))
    assert run.state == "FAILED"
    import psycopg

    with psycopg.connect(world.erp_url) as connection:
        connection.execute("UPDATE \"order\" SET amount = 5 WHERE number = 'N900'")
        connection.execute("DELETE FROM \"order\" WHERE number = 'N901'")
    add_orders(world, [("N902", "7")])
    from commands.operating import Asked, operate
    from tests.support.world import ADA, Unstarted
    from workflows.actions import Action

    operate(world.deployment, Asked(Action.RETRY, run.id, "corrected", ADA), Unstarted())
    from tests.support.world import drive

    drive(world.services, run.id, execution=1)
    run = world.run(run.id)
    assert run.state == "SUCCEEDED", run.failure
    assert len(desk(world)) == 12
    assert states(world, run) == {"SUCCEEDED": 12, "SKIPPED": 1}
    attempts = world.sql("SELECT DISTINCT attempt FROM sluice.chunk_run WHERE shown->>'number' < 'N800'")
    assert attempts == [(1,)]
