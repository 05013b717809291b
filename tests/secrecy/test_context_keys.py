"""A run's context cannot be opened any more once the run has ended, also not from a backup made before."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import pytest

from commands.orchestrations import Liveness
from commands.recovery import recover_lost_runs
from kernel.errors import InternalError
from store.blobs import CONTEXT
from store.envelope import Envelope
from store.runs import RunRow
from tests.integration.runs.test_segments import CANARY, LOG, definition
from tests.secrecy.places import database_places
from tests.support.world import Unstarted, World, drive, one_segment
from workflows.states import RunState

KEY = b"k" * 32
"""The world's key-encryption key: the keepers of a backup may well have it."""


@dataclass(frozen=True)
class Backup:
    """A copy of a run's blobs and of its wrapped key."""

    blobs: Mapping[str, bytes] = field(repr=False)
    wrapped: bytes | None = field(repr=False)


def backup(world: World, run_id: UUID) -> Backup:
    """What there is of the run's context now."""
    blobs = world.services.blobs
    names = [name for name in blobs.names(CONTEXT) if name.startswith(str(run_id))]
    [(wrapped,)] = world.sql("SELECT context_key FROM sluice.workflow_run WHERE id = %s", [run_id])
    return Backup({name: blobs.read(CONTEXT, name) for name in names}, wrapped)


def halfway(world: World) -> RunRow:
    """A run between its two writes."""
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    one_segment(world.services, run.id)
    return run


def owner(world: World, statement: str, run_id: UUID) -> None:
    """Change the run's row."""
    with psycopg.connect(world.owner_url) as connection:
        connection.execute(statement.encode(), [run_id])


def succeed(world: World, run_id: UUID) -> None:
    """Let the run go on to its end."""
    drive(world.services, run_id, segment=1)


def fail(world: World, run_id: UUID) -> None:
    """The connector is gone."""
    owner(world, "DELETE FROM sluice.connector WHERE key = 'erp' AND %s::uuid IS NOT NULL", run_id)
    drive(world.services, run_id, segment=1)


def cancel(world: World, run_id: UUID) -> None:
    """An operator asks for it."""
    owner(world, "UPDATE sluice.workflow_run SET requested = 'cancel' WHERE id = %s", run_id)
    drive(world.services, run_id, segment=1)


def poison(world: World, run_id: UUID) -> None:
    """The worker has died too often."""
    owner(world, "UPDATE sluice.workflow_run SET starts = 99 WHERE id = %s", run_id)
    drive(world.services, run_id, segment=1)


def lose(world: World, run_id: UUID) -> None:
    """The sweep gives it up."""
    past = "heartbeat_at = now() - interval '1 day', created_at = now() - interval '1 day'"
    owner(world, f"UPDATE sluice.workflow_run SET recoveries = 99, {past} WHERE id = %s", run_id)
    assert recover_lost_runs(world.deployment, _Gone()) == (0, 1)


class _Gone(Unstarted):
    """Durable execution knows of nothing."""

    def liveness(self, run_id: UUID, execution: int) -> Liveness:
        return Liveness.MISSING


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (succeed, RunState.SUCCEEDED),
        (fail, RunState.FAILED),
        (cancel, RunState.CANCELLED),
        (poison, RunState.FAILED),
        (lose, RunState.FAILED),
    ],
)
def test_the_context_is_lost_with_its_run(
    world: World, end: Callable[[World, UUID], None], state: RunState
) -> None:
    run = halfway(world)
    before = backup(world, run.id)
    assert before.wrapped is not None
    [(name, sealed)] = before.blobs.items()
    assert CANARY.encode() in zlib.decompress(Envelope(KEY).open(before.wrapped, sealed, name))
    end(world, run.id)
    assert world.run(run.id).state is state
    assert backup(world, run.id).wrapped is None
    written = [place.data for place in database_places(world.owner_url, "database")]
    assert not any(before.wrapped in data for data in written)
    keys = {data[: len(before.wrapped)] for data in written if len(data) >= len(before.wrapped)}
    assert not any(opens(key, sealed, name) for key in keys)
    assert opens(before.wrapped, sealed, name)


def opens(wrapped: bytes, sealed: bytes, name: str) -> bool:
    """Whether this key, wrapped, opens what was sealed."""
    try:
        Envelope(KEY).open(wrapped, sealed, name)
    except InternalError:
        return False
    return True
