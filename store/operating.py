"""What operators do to runs, as compare-and-set changes of a run row that the caller has locked."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from store.runs import RunRow, get_run
from store.tables import task_run, workflow_run
from workflows.states import RunState

_run = workflow_run.c


def lock_run(connection: Connection, run_id: UUID) -> RunRow:
    """The run, which nobody else changes until this transaction ends. `NotFound` when there is none.

    Executions that work on it only read that they may; they wait for a moment before their next effect.
    """
    return get_run(connection, run_id, lock=True)


def ask(connection: Connection, run: RunRow, requested: str | None) -> bool:
    """Write down what is wanted of the run's execution; `None` withdraws it. Not a state change."""
    return _changed(connection, run, requested=requested)


def keep(connection: Connection, run: RunRow) -> bool:
    """A run that waits for people waits for whoever resumes it. Not a state change."""
    return _changed(connection, run, waits_for=None)


def begin_again(connection: Connection, run: RunRow, deadline_at: datetime | None, now: datetime) -> bool:
    """FAILED becomes RUNNING with the next execution, which begins at the first segment. Records of chunks
    are gone with the run's key: dispatches are planned again."""
    values = {
        "state": RunState.RUNNING,
        "execution": run.execution + 1,
        "segment": 0,
        "deadline_at": deadline_at,
    }
    fresh = {"recoveries": 0, "starts": 0, "heartbeat_at": now, "wake_at": None, "purged_at": None}
    fresh |= {"waits_for": None, "held_step": None, "held_execution": None}
    planned = (task_run.c.run_id == run.id) & task_run.c.chunk_id.is_(None)
    connection.execute(task_run.update().where(planned).values(planning=None))
    undone = {"requested": None, "failure": None, "finished_at": None, "totals": None}
    return _changed(connection, run, **values, **fresh, **undone)


def _changed(connection: Connection, run: RunRow, **values: object) -> bool:
    same = (_run.id == run.id) & (_run.state == run.state) & (_run.execution == run.execution)
    return connection.execute(workflow_run.update().where(same).values(values)).rowcount == 1
