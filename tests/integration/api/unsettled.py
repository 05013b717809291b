"""Worlds in which something waits for a person: records in doubt, records that were set aside."""

from uuid import UUID

from adapters.contract import Idempotency
from kernel.errors import InDoubt
from store.runs import RunRow
from tests.integration.runs.test_repeats import hooked, raising
from tests.support.world import SMALL_LOG, World, drive

LONG = ("4", "Pay Invoice", "Cat Cue", "2024-03-01T08:00:00+02:00", "2024-03-02T14:00:00+02:00")
LOST = InDoubt("The connection broke while the answer was on its way.")


def in_doubt(world: World) -> list[UUID]:
    """The postings of a run that failed because nobody knows what became of its two records."""
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    drive(hooked(world, after_push=raising(LOST), idempotency=Idempotency.NONE), run.id)
    return _ids(
        world, "SELECT id FROM sluice.posting WHERE run_id = %s AND state = 'IN_DOUBT' ORDER BY 1", run
    )


def set_aside(world: World, count: int = 1) -> list[UUID]:
    """The dead letters of a run that succeeded without these records."""
    world.publish()
    run = world.post([*SMALL_LOG, *((str(number + 10), *LONG[1:]) for number in range(count))])
    return _ids(world, "SELECT id FROM sluice.dead_letter WHERE run_id = %s ORDER BY 1", run)


def _ids(world: World, query: str, run: RunRow) -> list[UUID]:
    return [found for (found,) in world.sql(query, [run.id])]
