"""Runs and the nested runs that they wait for, where one does not know of the other's end."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PGUUID

GRACE = timedelta(seconds=20)
"""For so long the end of a run is left to whoever waits for it."""
_now = bindparam("now", type_=TIMESTAMP(timezone=True))
_late = bindparam("late", type_=TIMESTAMP(timezone=True))
_ids = bindparam("ids", type_=ARRAY(PGUUID(as_uuid=True)))

# From the runs that go on downwards: of those that have ended there may be millions.
_WAITING = text(
    "SELECT parent.id, parent.execution FROM sluice.workflow_run parent"
    " JOIN sluice.task_run task ON task.run_id = parent.id AND task.chunk_id IS NULL"
    "   AND task.state = 'RUNNING' AND task.verb IN ('run', 'dispatch')"
    " WHERE parent.state = 'RUNNING' AND (task.verb = 'run' AND EXISTS ("
    "   SELECT FROM sluice.workflow_run child WHERE child.parent_run_id = parent.id"
    "   AND child.parent_step = task.step_key AND child.parent_chunk_id IS NULL"
    "   AND child.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') AND child.finished_at < :late"
    "   AND parent.heartbeat_at < child.finished_at"
    "  AND NOT EXISTS (SELECT FROM sluice.workflow_run later WHERE later.parent_run_id = parent.id"
    "    AND later.parent_step = task.step_key AND later.created_at > child.created_at))"
    " OR task.verb = 'dispatch' AND EXISTS ("
    "   SELECT FROM sluice.chunk_run chunk JOIN sluice.workflow_run child ON child.id = chunk.child_run_id"
    "   WHERE chunk.run_id = parent.id AND chunk.step_key = task.step_key AND chunk.state = 'RUNNING'"
    "   AND chunk.wake_at > :now"
    "   AND child.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') AND child.finished_at < :late))"
    " ORDER BY parent.heartbeat_at LIMIT :most"
).bindparams(_now, _late)


def waiting_in_vain(connection: Connection, now: datetime, limit: int) -> list[tuple[UUID, int]]:
    """Runs, with their executions, that wait although the nested run that they wait for has ended."""
    rows = connection.execute(_WAITING, {"now": now, "late": now - GRACE, "most": limit})
    return [(row.id, row.execution) for row in rows]


_RUNS_DUE = text(
    "UPDATE sluice.workflow_run SET wake_at = :now"
    " WHERE id = ANY(:ids) AND state = 'RUNNING' AND wake_at > :now"
).bindparams(_now, _ids)
_CHUNKS_DUE = text(
    "UPDATE sluice.chunk_run SET wake_at = :now FROM sluice.workflow_run child"
    " WHERE chunk_run.run_id = ANY(:ids) AND chunk_run.state = 'RUNNING' AND chunk_run.wake_at > :now"
    " AND child.id = chunk_run.child_run_id AND child.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')"
).bindparams(_now, _ids)


def make_due(connection: Connection, run_ids: Collection[UUID], now: datetime) -> None:
    """Waits of these runs are over, and those of their chunks whose nested run has ended."""
    given = {"ids": list(run_ids), "now": now}
    connection.execute(_RUNS_DUE, given)
    connection.execute(_CHUNKS_DUE, given)


# One that an operator has retried since goes on by their will.
_ABANDONED = text(
    "SELECT child.id FROM sluice.workflow_run child"
    " JOIN sluice.workflow_run parent ON parent.id = child.parent_run_id"
    " WHERE child.state IN ('PENDING', 'RUNNING', 'SUSPENDED') AND NOT child.detached"
    " AND child.requested IS DISTINCT FROM 'cancel'"
    " AND parent.state IN ('FAILED', 'CANCELLED') AND parent.finished_at < :late AND NOT EXISTS ("
    "   SELECT FROM sluice.state_transition change WHERE change.entity_id = child.id"
    "   AND change.before = 'FAILED' AND change.at > parent.finished_at)"
    " ORDER BY child.created_at LIMIT :most"
).bindparams(_late)


def abandoned(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Nested runs that go on although the run above them, with which they are to end, has failed or was
    cancelled."""
    return list(connection.execute(_ABANDONED, {"late": now - GRACE, "most": limit}).scalars())


_BUSY = text(
    "SELECT EXISTS (SELECT FROM sluice.workflow_run child WHERE child.parent_run_id = :run_id"
    "   AND child.parent_step = ANY(:steps)"
    "   AND (child.state IN ('PENDING', 'RUNNING', 'SUSPENDED') OR child.finished_at > :since))"
    " OR EXISTS (SELECT FROM sluice.chunk_run chunk WHERE chunk.run_id = :run_id"
    "   AND chunk.step_key = ANY(:steps) AND chunk.state IN ('SUCCEEDED', 'FAILED')"
    "   AND chunk.finished_at > :since)"
    " OR EXISTS (SELECT FROM sluice.chunk_run chunk WHERE chunk.run_id = :run_id"
    "   AND chunk.step_key = ANY(:steps) AND chunk.state = 'RUNNING'"
    "   AND (chunk.started_at > :since OR chunk.wake_at > :since))"
)
_STEPS = text(
    "SELECT step_key FROM sluice.task_run"
    " WHERE run_id = :run_id AND chunk_id IS NULL AND verb IN ('run', 'dispatch') AND state = 'RUNNING'"
)


def others_work_for(connection: Connection, run_id: UUID, since: datetime) -> bool:
    """Whether nested runs go on for the run, or its chunks have done something since."""
    steps = list(connection.execute(_STEPS, {"run_id": run_id}).scalars())
    given = {"run_id": run_id, "steps": steps, "since": since}
    return bool(steps) and bool(connection.scalar(_BUSY, given))
