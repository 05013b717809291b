"""How a request for approval ends, whoever ends it: its state, whoever waits for it, the audit, at once."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from kernel.durations import parse_duration
from store import approvals, audit, executions
from store.approvals import ApprovalRow
from store.database import AUTOMATIC
from store.notifications import announce
from store.tables import chunk_run
from workflows.states import ApprovalState, TaskState


def end_approval(
    connection: Connection, row: ApprovalRow, state: ApprovalState, outcome: Mapping[str, Any],
    actor: str, now: datetime,
) -> bool:  # fmt: skip
    """REQUESTED becomes `state`, and whoever waits for it is due; False when it has ended already.

    The caller has locked the run, and wakes it after the commit: the sweep does when that is lost.
    """
    values = {"ended_at": now, "next_at": None, "outcome": dict(outcome)}
    if not approvals.move_approval(connection, row.id, state, **values):
        return False
    if row.chunk_id is not None:
        waits = (chunk_run.c.id == row.chunk_id) & (chunk_run.c.state == TaskState.SUSPENDED)
        connection.execute(chunk_run.update().where(waits).values(wake_at=now))
    if state is not ApprovalState.CANCELLED:
        executions.rouse_decided(connection, row.run_id, now)
    audience = {**row.audience, "people": [*row.audience["people"], *row.excluded]}
    announce(connection, row.id, "voided" if _voided(outcome) else "outcome", audience, now)
    record_event(connection, row, f"approval.{state.lower()}", actor, now, outcome)
    return True


def _voided(outcome: Mapping[str, Any]) -> bool:
    return outcome.get("by") == "change"


def cancel_open(connection: Connection, run_id: UUID, because: str, actor: str, now: datetime) -> None:
    """With their run, requests that nobody has decided end; how others ended counts for its next execution
    no more."""
    for row in approvals.open_of_run(connection, run_id):
        outcome = {"by": "run", "because": because}
        end_approval(connection, row, ApprovalState.CANCELLED, outcome, actor, now)
    approvals.mark_told(connection, run_id, now)


def void_approval(connection: Connection, row: ApprovalRow, because: str, actor: str, now: datetime) -> bool:
    """The records are not those that were asked about: what was said of them, or not yet, means nothing."""
    outcome = {"by": "change", "because": because, "was": row.state.value}
    if row.state is ApprovalState.REQUESTED:
        return end_approval(connection, row, ApprovalState.CANCELLED, outcome, actor, now)
    values = {"ended_at": now, "outcome": {**(row.outcome or {}), **outcome}, "told_at": now}
    moved = approvals.move_approval(connection, row.id, ApprovalState.CANCELLED, **values)
    if moved:
        announce(connection, row.id, "voided", row.audience, now)
        record_event(connection, row, "approval.voided", actor, now, outcome)
    return moved


def pass_deadline(connection: Connection, row: ApprovalRow, now: datetime) -> bool:
    """Do what is due: remind, hand on to the next groups, or end it. False when nothing was.

    The caller has locked the run and the request.
    """
    if row.state is not ApprovalState.REQUESTED or row.next_at is None or now < row.next_at:
        return False
    if row.due_at is not None and now >= row.due_at:
        return _escalate(connection, row, now) if row.escalations else _expire(connection, row, now)
    approvals.change_open(connection, row.id, next_at=row.due_at, reminded_at=now)
    announce(connection, row.id, "reminder", row.audience, now, row.level)
    record_event(connection, row, "approval.reminded", AUTOMATIC, now, {})
    return True


def _escalate(connection: Connection, row: ApprovalRow, now: datetime) -> bool:
    step, *left = row.escalations
    due_at = now + parse_duration(step["due"])
    added = [name for name in step["to"] if name not in row.approvers]
    values = {"approvers": [*row.approvers, *added], "escalations": left, "level": row.level + 1}
    changed = approvals.change_open(connection, row.id, **values, due_at=due_at, next_at=due_at)
    announce(connection, row.id, "escalated", {"groups": list(step["to"]), "people": []}, now, row.level + 1)
    record_event(connection, row, "approval.escalated", AUTOMATIC, now, {"to": ", ".join(step["to"])})
    return changed


def _expire(connection: Connection, row: ApprovalRow, now: datetime) -> bool:
    assert row.due_at is not None
    outcome = {"by": "deadline", "due_at": row.due_at.isoformat(), "on_timeout": row.on_timeout}
    return end_approval(connection, row, ApprovalState.EXPIRED, outcome, AUTOMATIC, now)


def record_event(
    connection: Connection,
    row: ApprovalRow,
    action: str,
    actor: str,
    now: datetime,
    details: Mapping[str, Any],
) -> None:
    """Add to the audit stream of the approval's run."""
    known = {"run": str(row.run_id), "step": row.step_key, "rule": row.rule, **details}
    audit.record(
        connection, stream=audit.run_stream(row.run_id), actor=actor, action=action, subject=str(row.id),
        details=known, now=now,
    )  # fmt: skip
