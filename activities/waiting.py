"""A run that waits for people: how it begins to, and whether it still does."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from activities.contract import Next, Outcome
from activities.services import ENGINE
from store import approvals, audit, executions, runs
from store.approval_ends import pass_deadline
from store.approvals import ApprovalRow
from store.runs import RunRow
from workflows.states import RunState

APPROVAL = "approval"


def hold_run(connection: Connection, run: RunRow, step_key: str, segment: int, now: datetime) -> None:
    """The run waits at a step; its row is locked and nothing is asked of it."""
    executions.hold(connection, run.id, run.execution, step_key, now)
    runs.suspend_tasks(connection, run.id)
    audit.record(
        connection, stream=audit.run_stream(run.id), actor=ENGINE, action="run.suspended",
        subject=str(run.id), details={"segment": segment, "step": step_key}, now=now,
    )  # fmt: skip


def waiting_outcome(waiting: Sequence[ApprovalRow], segment: int, now: datetime) -> Outcome:
    """Wait for any of the requests, or until something is to be done about one."""
    due = [row.next_at for row in waiting if row.next_at is not None]
    seconds = max(0.001, (min(due) - now).total_seconds()) if due else 0.0
    ids = tuple(str(row.id) for row in waiting)
    return Outcome(Next.SUSPENDED, segment, wait_seconds=seconds, approvals=ids)


def still_waiting(connection: Connection, run: RunRow, now: datetime) -> list[ApprovalRow]:
    """The requests for which a run waits, after what is due was done about them. When there are none, it
    goes on. The run is locked."""
    for row in _open(connection, run):
        pass_deadline(connection, row, now)
    left = _open(connection, run)
    if not left:
        executions.rouse_decided(connection, run.id, now)
    return left


def waits_for_people(run: RunRow) -> bool:
    """Whether it is suspended for that, and not paused."""
    return run.state is RunState.SUSPENDED and run.waits_for == APPROVAL


def _open(connection: Connection, run: RunRow) -> list[ApprovalRow]:
    return [row for row in approvals.open_of_run(connection, run.id) if row.chunk_id is None]
