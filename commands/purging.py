"""Sweeps over leftovers, in small windows: sealed contexts of ended runs, and old durable history."""

import itertools
import logging
import re
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from commands.deployment import Deployment
from commands.orchestrations import Orchestrations, told
from commands.recovery import SWEEPER
from kernel.traces import trace_of
from store import audit, runs
from store.blobs import CONTEXT

logger = logging.getLogger(__name__)

WINDOW = 50
"""Runs that one sweep deletes something of."""
LISTED = 1_000
"""Names of blobs that are looked at together."""
_CONTEXT_NAME = re.compile(r"(?P<run>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<execution>\d+)/")


def sweep_leftovers(deployment: Deployment, orchestrations: Orchestrations) -> tuple[int, int]:
    """Delete contexts of runs that have ended, and durable history that is past its time. Returns how many
    runs lost each."""
    contexts = purge_contexts(deployment)
    histories = purge_histories(deployment, orchestrations)
    older = purge_older(deployment, orchestrations)
    for kind, amount in (("context", contexts), ("history", histories), ("older", older)):
        if amount:
            deployment.metrics.add("sweep.purged", amount, kind=kind)
    return contexts, histories


def purge_contexts(deployment: Deployment, window: int = WINDOW) -> int:
    """Delete context blobs whose run has ended. Their key is gone already; an execution that died between
    ending the run and deleting them has left them."""
    ended: list[UUID] = []
    for names in itertools.batched(deployment.blobs.names(CONTEXT), LISTED, strict=False):
        found = _executions(names)
        with deployment.database.reading() as connection:
            over = runs.ended_of(connection, sorted(found))[: window - len(ended)]
        for ended_id in over:
            for number in sorted(found[ended_id]):  # a retry that begins meanwhile writes under its own
                deployment.blobs.delete_prefix(CONTEXT, f"{ended_id}/{number}/")
        ended += over
        if len(ended) >= window:
            break
    with deployment.database.transaction(SWEEPER) as connection:
        _note(connection, "run.context_purged", ended, deployment.clock())
    return len(ended)


def _executions(names: Iterable[str]) -> dict[UUID, set[str]]:
    """The executions that have left contexts, by run. Blobs of other names are not ours."""
    found: dict[UUID, set[str]] = {}
    for name in names:
        if match := _CONTEXT_NAME.match(name):
            found.setdefault(UUID(match["run"]), set()).add(match["execution"])
    return found


def purge_histories(deployment: Deployment, orchestrations: Orchestrations, window: int = WINDOW) -> int:
    """Delete what durable execution keeps of runs that ended before the retention time."""
    now = deployment.clock()
    with deployment.database.reading() as connection:
        old = runs.unpurged(connection, now - deployment.recovery.history_kept, window)
    purged = [run_id for run_id, last in old if told(run_id, partial(_purge, orchestrations, run_id, last))]
    with deployment.database.transaction(SWEEPER) as connection:
        runs.note_purged(connection, purged, now)
        _note(connection, "run.history_purged", purged, now)
    return len(purged)


def purge_older(deployment: Deployment, orchestrations: Orchestrations) -> int:
    """Delete what durable execution keeps of ended orchestrations that began before the retention time: those
    of chunks and pages among them."""
    before = deployment.clock() - deployment.recovery.history_kept
    try:
        return orchestrations.purge_begun_before(before)
    except Exception as exc:  # noqa: BLE001 - tried again by the next sweep, which has less to do
        logger.warning("old history not purged: %s", trace_of(exc))
        return 0


def _purge(orchestrations: Orchestrations, run_id: UUID, last: int) -> None:
    for execution in range(last + 1):
        orchestrations.purge(run_id, execution)


def _note(connection: Connection, action: str, run_ids: list[UUID], now: datetime) -> None:
    if run_ids:
        audit.record(
            connection, stream="sweeps", actor=SWEEPER, action=action, subject="runs",
            details={"count": len(run_ids), "first": str(run_ids[0]), "last": str(run_ids[-1])}, now=now,
        )  # fmt: skip
