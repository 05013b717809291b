"""Steps whose connector limits how many work with it: they wait, hold on, and leave."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from activities.services import Services
from kernel.errors import Busy, Unavailable
from kernel.secrets import Secret
from localhost.services.ports import free_port
from localhost.services.stack import Endpoints
from store.gates import Gates
from store.slots import SlotTable
from tests.integration.runs.test_repeats import DOWN, hooked, raising
from tests.integration.runs.test_waiting import RETRY
from tests.support.eventually import eventually
from tests.support.world import EXAMPLES, SMALL_LOG, World, drive, one_segment, waits
from workflows.states import RunState, TaskState

BOOKS, FILES = "books", "worklog"
POSTS = "      connector: erp\n      operation: job_ledger\n"


@pytest.fixture(autouse=True)
def empty_table(stack: Endpoints) -> None:
    """All tests use connectors of the same names."""
    table = SlotTable(Secret(stack.storage_connection_string))
    table.ensure()
    for key in (BOOKS, FILES):
        for row in table.look(f"sandbox:{key}").rows:
            table.delete(row)


def publish(world: World, limited: str, of_the_write: str = "retry: {attempts: 5, first: 2s}") -> None:
    """The example; it posts through a connector of its own. One step at a time works with the limited one."""
    example = (EXAMPLES / "labour_costs.yaml").read_text()
    for was, becomes in {RETRY: f"    {of_the_write}\n", POSTS: POSTS.replace("erp", BOOKS)}.items():
        assert was in example
        example = example.replace(was, becomes)
    copied = "system, settings, secrets, created_by, created_at, updated_at"
    world.sql(
        f"INSERT INTO sluice.connector (key, {copied}) SELECT %s, {copied} FROM sluice.connector"
        " WHERE key = 'erp' RETURNING key",
        [BOOKS],
    )
    sql = "UPDATE sluice.connector SET settings = settings || %s::jsonb WHERE key = %s RETURNING key"
    assert world.sql(sql, ['{"concurrency": 1}', limited])
    world.publish(example)


def has_room(world: World, connector: str = BOOKS) -> bool:
    """Whether a stranger would come in."""
    try:
        with world.services.gates.enter(connector, "sandbox", 1):
            return True
    except Busy:
        return False


def codes(world: World, run_id: object, step: str = "post") -> list[tuple[str, int]]:
    """What the attempts at a step ended with, and how often in a row."""
    sql = "SELECT attempts FROM sluice.task_run WHERE run_id = %s AND step_key = %s"
    [(attempts,)] = world.sql(sql, [run_id, step])
    return [(one["code"], one["times"]) for one in attempts]


@pytest.mark.parametrize(("connector", "step"), [(BOOKS, "post"), (FILES, "work_log")])
def test_a_step_waits_for_room_as_often_as_it_takes(world: World, connector: str, step: str) -> None:
    publish(world, connector, "retry: {attempts: 1}")
    run = world.start(file=world.upload(SMALL_LOG))
    with world.services.gates.enter(connector, "sandbox", 1):
        outcomes = [one_segment(world.services, run.id) for _ in range(4)]
    assert all(map(waits, outcomes))
    pauses = [outcome.wait_seconds for outcome in outcomes]
    longest = (0.4, 0.8, 1.6, 2)
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True)), pauses
    drive(world.services, run.id)
    assert (world.run(run.id).state, codes(world, run.id, step)) == (RunState.SUCCEEDED, [("busy", 4)])
    assert world.tasks(run.id)[step].attempt == 1


def test_waiting_for_room_ends_with_the_steps_timeout(world: World) -> None:
    publish(world, BOOKS, "timeout: 30s")
    run = world.start(file=world.upload(SMALL_LOG))
    with world.services.gates.enter(BOOKS, "sandbox", 1):
        drive(world.services, run.id)
    failure = world.run(run.id).failure or {}
    assert (failure["code"], failure["step"], world.ledger()) == ("timed_out", "post", [])
    assert "concurrency" in failure["message"]


def test_a_step_is_inside_while_it_works_and_leaves_when_it_fails(world: World) -> None:
    publish(world, BOOKS)
    run = world.start(file=world.upload(SMALL_LOG))
    seen: list[bool] = []
    before = raising(DOWN)

    def look() -> None:
        seen.append(has_room(world))
        before()

    services = hooked(world, before_push=look)
    assert waits(one_segment(services, run.id))
    assert has_room(world)
    drive(services, run.id)
    assert (world.run(run.id).state, seen, has_room(world)) == (RunState.SUCCEEDED, [False, False], True)


def brief(world: World, stack: Endpoints, after_push: Callable[[], object]) -> Services:
    """Services whose calls write one record, and whose places are kept for a second."""
    storage = Secret(stack.storage_connection_string)
    services = hooked(world, batch_size=1, after_push=after_push)
    return replace(services, gates=Gates(storage, timedelta(seconds=1)))


def is_over(stack: Endpoints) -> bool:
    """Whether the lease of whoever is inside is over."""
    look = SlotTable(Secret(stack.storage_connection_string)).look(f"sandbox:{BOOKS}")
    return look.at is not None and all(row.is_over(look.at) for row in look.rows)


def test_a_place_is_kept_between_batches(world: World, stack: Endpoints) -> None:
    publish(world, BOOKS)
    run = world.start(file=world.upload(SMALL_LOG))
    seen: list[bool] = []

    def slow() -> None:
        seen.append(is_over(stack))
        eventually(lambda: is_over(stack), what="the lease is over")

    drive(brief(world, stack, slow), run.id)
    assert (world.run(run.id).state, seen, codes(world, run.id)) == (RunState.SUCCEEDED, [False, False], [])


def test_a_step_that_lost_its_place_stops_and_comes_again(world: World, stack: Endpoints) -> None:
    publish(world, BOOKS)
    run = world.start(file=world.upload(SMALL_LOG))
    with ExitStack() as other:

        def lose() -> None:
            eventually(lambda: is_over(stack), what="the lease is over")
            other.enter_context(world.services.gates.enter(BOOKS, "sandbox", 1))

        assert waits(one_segment(brief(world, stack, lose), run.id))
        assert len(world.ledger()) == 1, "the batch that was under way"
        assert waits(one_segment(world.services, run.id))
    drive(world.services, run.id)
    assert (world.run(run.id).state, len(world.ledger())) == (RunState.SUCCEEDED, 2)
    assert codes(world, run.id) == [("transient", 1), ("busy", 1)]


def test_table_storage_away_is_our_own_outage(world: World, stack: Endpoints) -> None:
    publish(world, BOOKS)
    nowhere = f"TableEndpoint=http://127.0.0.1:{free_port()}/;"
    away = re.sub(r"TableEndpoint=[^;]*;", nowhere, stack.storage_connection_string)
    services = replace(world.services, gates=Gates(Secret(away)))
    run = world.start(file=world.upload(SMALL_LOG))
    with pytest.raises(Unavailable, match="Table Storage"):
        one_segment(services, run.id)
    assert (world.run(run.id).state, codes(world, run.id)) == (RunState.RUNNING, [])
    assert world.tasks(run.id)["rates"].state is TaskState.SUCCEEDED, "where there is no gate nobody notices"
    assert world.finish(run).state is RunState.SUCCEEDED
