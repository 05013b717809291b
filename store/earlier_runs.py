"""What the last run of the same workflow has posted, to compare with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from store.runs import RunRow, get_tasks
from store.tables import workflow_run
from workflows.states import RunState


@dataclass(frozen=True)
class EarlierRun:
    """A run that SUCCEEDED, with the measures of its steps as they are stored."""

    id: UUID
    finished_at: datetime
    measures: Mapping[str, Mapping[str, Any]]


def last_confirmed(connection: Connection, run: RunRow) -> EarlierRun | None:
    """The last run of the same workflow that ended well before this one was created."""
    table = workflow_run.c
    same = (table.workflow == run.workflow) & (table.environment == run.environment)
    before = (table.state == RunState.SUCCEEDED) & (table.created_at < run.created_at)
    query = select(table.id, table.finished_at).where(same, before).order_by(table.created_at.desc()).limit(1)
    found = connection.execute(query).first()
    if found is None:
        return None
    measures = {task.step_key: task.measures or {} for task in get_tasks(connection, found.id)}
    return EarlierRun(found.id, found.finished_at, measures)
