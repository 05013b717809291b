"""What the last run of the same workflow has posted, to compare with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from store.driver import execute
from store.runs import RunRow, get_tasks


@dataclass(frozen=True)
class EarlierRun:
    """A run that SUCCEEDED, with the measures of its steps as they are stored."""

    id: UUID
    finished_at: datetime
    measures: Mapping[str, Mapping[str, Any]]


def last_confirmed(connection: Connection, run: RunRow) -> EarlierRun | None:
    """The last run of the same workflow that ended well before this one was created."""
    given = {"workflow": run.workflow, "environment": run.environment, "created_at": run.created_at}
    found = execute(connection, _LAST, given).fetchone()
    if found is None:
        return None
    measures = {task.step_key: task.measures or {} for task in get_tasks(connection, found["id"])}
    return EarlierRun(found["id"], found["finished_at"], measures)


_LAST = (
    "SELECT id, finished_at FROM sluice.workflow_run WHERE workflow = %(workflow)s"
    " AND environment = %(environment)s AND state = 'SUCCEEDED' AND created_at < %(created_at)s"
    " ORDER BY created_at DESC LIMIT 1"
)
