"""Runs that steps of a run have started, as people look at them. Those of chunks are found by their chunk."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text

from store.tables import workflow_run
from workflows.states import RunState

_run = workflow_run.c


@dataclass(frozen=True)
class NestedRun:
    """One run that a step has started. `detached` tells those that go on without the run above."""

    id: UUID
    step: str
    workflow: str
    state: RunState
    detached: bool


_COLUMNS = (_run.id, _run.parent_step, _run.workflow, _run.state, _run.detached)


def nested_runs(connection: Connection, run_id: UUID, steps: Collection[str], limit: int) -> list[NestedRun]:
    """The runs that these steps have started, the newest first."""
    if not steps:
        return []
    mine = (_run.parent_run_id == run_id) & _run.parent_step.in_(steps)
    query = select(*_COLUMNS).where(mine).order_by(_run.created_at.desc(), _run.id.desc()).limit(limit)
    return [_nested(row) for row in connection.execute(query)]


def nested_run(connection: Connection, run_id: UUID) -> NestedRun:
    """A run that is known to be nested."""
    return _nested(connection.execute(select(*_COLUMNS).where(_run.id == run_id)).one())


def _nested(row: Any) -> NestedRun:
    return NestedRun(row.id, row.parent_step, row.workflow, RunState(row.state), row.detached)


_BELOW = (
    "WITH RECURSIVE below AS ("
    " SELECT id, detached AS leaves FROM sluice.workflow_run WHERE parent_run_id = :run_id"
    " UNION ALL SELECT child.id, child.detached OR below.leaves"
    " FROM sluice.workflow_run child JOIN below ON child.parent_run_id = below.id)"
)
_OPEN = " state IN ('PENDING', 'RUNNING', 'SUSPENDED')"
_COUNT_BELOW = text(
    f"{_BELOW} SELECT count(*) FILTER (WHERE NOT leaves), count(*) FILTER (WHERE leaves)"  # noqa: S608
    f" FROM sluice.workflow_run run JOIN below ON below.id = run.id WHERE {_OPEN}"
)
_LOCK_BELOW = text(
    f"{_BELOW} SELECT id FROM sluice.workflow_run"  # noqa: S608
    f" WHERE id IN (SELECT id FROM below WHERE NOT leaves) AND {_OPEN} ORDER BY depth, id"
    " FOR NO KEY UPDATE"
)


@dataclass(frozen=True)
class OpenBelow:
    """How many runs below a run have not ended: those that are cancelled with it, and those that are not."""

    following: int = 0
    leaving: int = 0


def count_open_below(connection: Connection, run_id: UUID) -> OpenBelow:
    """The open runs below a run, at all levels."""
    return OpenBelow(*connection.execute(_COUNT_BELOW, {"run_id": run_id}).one())


def lock_below(connection: Connection, run_id: UUID) -> None:
    """Lock the open runs that are cancelled with a run, from the top down: whoever cancels one of them at the
    same moment takes them in the same order."""
    connection.execute(_LOCK_BELOW, {"run_id": run_id})
