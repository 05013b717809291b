"""How a run ends in the database, whoever ends it: the run, its tasks, its open calls, the audit, at once."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from store import audit, chunks, postings, runs
from store.approval_ends import cancel_open
from store.driver import execute
from workflows.states import RunState, TaskState

_TASKS_END: Mapping[RunState, tuple[TaskState, ...]] = {
    RunState.SUCCEEDED: (),
    RunState.FAILED: (TaskState.FAILED,),
    RunState.CANCELLED: (TaskState.CANCELLED,),
}
"""Where tasks that have not ended go with their run. No task of a run that has ended says that it runs."""


def end_run(
    connection: Connection, run_id: UUID, execution: int, state: RunState, actor: str, now: datetime,
    *, failure: Mapping[str, Any] | None = None, totals: list[Any] | None = None, details: str = "",
) -> bool:  # fmt: skip
    """Compare-and-set a run into a terminal state, with all that ends with it; False when it is not there to
    be ended by this execution. The context key is gone after that; the caller deletes the blobs."""
    moved = runs.move_run(
        connection, run_id, state, execution=execution,
        finished_at=now, context_key=None, requested=None, wake_at=None, failure=failure, totals=totals,
    )  # fmt: skip
    if moved:
        _hold_waiting(connection, run_id)
        for ended in _TASKS_END[state]:
            runs.finish_tasks(connection, run_id, ended, now, failure=failure)
            chunks.end_chunks(connection, run_id, ended, now, failure)
        if state is not RunState.SUCCEEDED:
            because = details or str((failure or {}).get("message", "")) or f"The run is {state}."
            cancel_open(connection, run_id, because, actor, now)
        doubtful = postings.doubt_sent(connection, run_id, "The run ended before an answer came.", now)
        known = {"code": (failure or {}).get("code"), "in_doubt": doubtful or None, "because": details}
        audit.record(
            connection, stream=audit.run_stream(run_id), actor=actor, action=f"run.{state.lower()}",
            subject=str(run_id), details={name: value for name, value in known.items() if value}, now=now,
        )  # fmt: skip
    return moved


_HOLD = (
    "UPDATE sluice.task_run SET counts = counts || jsonb_build_object('waiting', 0, 'held',"
    " coalesce((counts->>'held')::bigint, 0) + (counts->>'waiting')::bigint)"
    " WHERE run_id = %(run_id)s AND chunk_id IS NULL AND state IN ('RUNNING', 'SUSPENDED')"
    " AND (counts->>'waiting')::bigint > 0"
)


def _hold_waiting(connection: Connection, run_id: UUID) -> None:
    """Records that a write had not come to are held."""
    execute(connection, _HOLD, {"run_id": run_id})
