"""Compare-and-set, idempotency keys, envelopes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.recovery import PENDING_GRACE, start_pending_runs
from commands.runs import start_run
from kernel.clock import utc_now
from kernel.errors import Conflict, InternalError, NotFound, Unavailable
from kernel.secrets import Secret
from localhost.services.ports import free_port
from store import runs
from store.database import Database
from store.envelope import Envelope
from tests.support.world import ACTOR, ADA, Unstarted, World
from workflows.states import RunState


def test_only_one_of_many_moves_wins(world: World) -> None:
    world.publish()
    run = world.start(file="x")
    ready = threading.Barrier(4)

    def move(_: int) -> bool:
        ready.wait()
        with world.deployment.database.transaction(ACTOR) as connection:
            return runs.move_run(connection, run.id, RunState.RUNNING)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(move, range(4))) == 1


def test_the_same_idempotency_key_starts_one_run(world: World) -> None:
    world.publish()

    def start(_: int) -> tuple[str, bool]:
        row, created = start_run(
            world.deployment, "labour-costs", {"file": "x"}, "", ADA, Unstarted(), "key-1"
        )
        return str(row.id), created

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(start, range(4)))
    assert len({run_id for run_id, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1
    with pytest.raises(Conflict, match="another request"):
        start_run(world.deployment, "labour-costs", {"file": "y"}, "", ADA, Unstarted(), "key-1")


def test_a_run_whose_start_failed_is_started_by_the_sweep(world: World) -> None:
    world.publish()

    class Away(Unstarted):
        def start(self, run_id: UUID, execution: int = 0, segment: int = 0) -> None:
            raise ConnectionError("the task hub does not answer")

    row, created = start_run(world.deployment, "labour-costs", {"file": "x"}, "", ADA, Away())
    assert (created, row.state) == (True, RunState.PENDING)
    durable = Unstarted()
    assert start_pending_runs(world.deployment, durable) == 0
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("UPDATE sluice.workflow_run SET created_at = %s", [utc_now() - 2 * PENDING_GRACE])
    assert start_pending_runs(world.deployment, durable) == 1
    assert durable.started == [(row.id, 0, 0)]


def test_starting_an_unknown_workflow_changes_nothing(world: World) -> None:
    with pytest.raises(NotFound, match="publish it first"):
        world.start("nothing-here")
    assert world.sql("SELECT count(*) FROM sluice.workflow_run") == [(0,)]


def test_a_database_that_is_down_is_named_without_its_password() -> None:
    port = free_port()
    database = Database(Secret(f"postgresql+psycopg://app:hunter2@127.0.0.1:{port}/sluice"))
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}/sluice") as caught, database.transaction("x"):
        pass
    assert "hunter2" not in str(caught.value)


@given(plain=st.binary(max_size=2_000), about=st.text(max_size=40))
def test_what_is_sealed_opens_only_for_what_it_belongs_to(plain: bytes, about: str) -> None:
    envelope = Envelope(b"1" * 32)
    key = envelope.new_wrapped_key()
    sealed = envelope.seal(key, plain, about)
    assert envelope.open(key, sealed, about) == plain
    assert envelope.open_alone(envelope.seal_alone(plain, about), about) == plain
    with pytest.raises(InternalError):
        envelope.open(key, sealed, about + "!")
    with pytest.raises(InternalError):
        envelope.open(envelope.new_wrapped_key(), sealed, about)
    with pytest.raises(InternalError):
        Envelope(b"2" * 32).open(key, sealed, about)
