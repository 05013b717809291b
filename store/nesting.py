"""Runs that were started for a step of another run."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select, text

from store.runs import RunRow, get_run
from store.tables import workflow_run

_run = workflow_run.c


def latest_child(
    connection: Connection, parent_run_id: UUID, step_key: str, chunk_id: UUID | None
) -> RunRow | None:
    """The run that was last started for the step, or for the chunk."""
    mine = (_run.parent_run_id == parent_run_id) & (_run.parent_step == step_key)
    mine &= _run.parent_chunk_id.is_(None) if chunk_id is None else _run.parent_chunk_id == chunk_id
    found = connection.scalar(select(_run.id).where(mine).order_by(_run.created_at.desc(), _run.id.desc()))
    return None if found is None else get_run(connection, found)


_CANCEL_BELOW = text(
    "WITH RECURSIVE below AS ("
    " SELECT id FROM sluice.workflow_run WHERE parent_run_id = :run_id AND NOT detached"
    " UNION SELECT child.id FROM sluice.workflow_run child JOIN below ON child.parent_run_id = below.id"
    " WHERE NOT child.detached)"
    " UPDATE sluice.workflow_run SET requested = 'cancel', wake_at = :now,"
    " state = CASE state WHEN 'SUSPENDED' THEN 'RUNNING' ELSE state END"
    " WHERE id IN (SELECT id FROM below) AND state IN ('PENDING', 'RUNNING', 'SUSPENDED')"
    " AND requested IS DISTINCT FROM 'cancel' RETURNING id, execution"
)


def cancel_below(connection: Connection, run_id: UUID, now: datetime) -> list[tuple[UUID, int]]:
    """Ask all open runs below a run to end, but for those that go on without it; returns them with their
    executions, which the caller wakes."""
    rows = connection.execute(_CANCEL_BELOW, {"run_id": run_id, "now": now})
    return [(row.id, row.execution) for row in rows]
