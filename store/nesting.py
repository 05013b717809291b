"""Runs that were started for a step of another run."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from store.runs import RunRow, get_run
from store.tables import workflow_run
from workflows.states import TERMINAL_RUN_STATES, RunState

_run = workflow_run.c


def latest_child(
    connection: Connection, parent_run_id: UUID, step_key: str, chunk_id: UUID | None
) -> RunRow | None:
    """The run that was last started for the step, or for the chunk."""
    mine = (_run.parent_run_id == parent_run_id) & (_run.parent_step == step_key)
    mine &= _run.parent_chunk_id.is_not_distinct_from(chunk_id)
    found = connection.scalar(select(_run.id).where(mine).order_by(_run.created_at.desc(), _run.id.desc()))
    return None if found is None else get_run(connection, found)


def children_of(connection: Connection, run_id: UUID) -> list[tuple[UUID, str, RunState]]:
    """The nested runs of a run with their step and state, oldest first."""
    query = select(_run.id, _run.parent_step, _run.state).where(_run.parent_run_id == run_id)
    rows = connection.execute(query.order_by(_run.created_at, _run.id))
    return [(row.id, row.parent_step, RunState(row.state)) for row in rows]


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


def waiting_parents(connection: Connection, now: datetime, limit: int) -> list[tuple[UUID, int]]:
    """Runs that wait although the nested run that they wait for has ended a while ago."""
    child, parent = workflow_run.alias("child"), workflow_run.alias("parent")
    ended = child.c.state.in_(TERMINAL_RUN_STATES) & child.c.finished_at.between(
        now - timedelta(days=1), now - timedelta(seconds=20)
    )
    waits = (parent.c.state == RunState.RUNNING) & (parent.c.heartbeat_at < child.c.finished_at)
    joined = child.join(parent, child.c.parent_run_id == parent.c.id)
    query = select(parent.c.id, parent.c.execution).select_from(joined).where(ended, waits).distinct()
    return [(row.id, row.execution) for row in connection.execute(query.limit(limit))]


def make_due(connection: Connection, run_ids: Collection[UUID], now: datetime) -> None:
    """Waits of these runs are over."""
    waits = _run.id.in_(run_ids) & (_run.state == RunState.RUNNING) & (_run.wake_at > now)
    connection.execute(workflow_run.update().where(waits).values(wake_at=now))


def count_children(connection: Connection, run_id: UUID) -> int:
    """How many runs were started for steps of a run."""
    return connection.execute(select(func.count()).where(_run.parent_run_id == run_id)).scalar_one()
