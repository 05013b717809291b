"""Runs that steps of a run have started, as people look at them. Those of chunks are found by their chunk."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

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
