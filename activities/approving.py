"""Whether people have said yes to exactly what is going to be written, and what to ask them if not."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from activities.bindings import BoundWrite, bound_writes, changed, level_of, total_digest
from activities.sensitivity import visible
from activities.services import ENGINE, Services
from activities.work import Work
from kernel.durations import parse_duration
from kernel.errors import ApprovalExpired, ApprovalRejected
from kernel.ids import new_id
from store import approvals, runs
from store.approval_ends import pass_deadline, record_event, void_approval
from store.approvals import ApprovalRow
from store.notifications import announce
from store.runs import RunRow
from workflows.context import StepOutput
from workflows.guards import guards_of
from workflows.model import Approve, Step
from workflows.states import ApprovalState

SHOWN_CHANGES = 20
REMINDED = 6
"""Unless the rule says otherwise, people are reminded when this part of the time is left."""
_SAID_NO = (ApprovalState.REJECTED, ApprovalState.EXPIRED)
_COUNTS = (ApprovalState.REQUESTED, ApprovalState.APPROVED)


@dataclass(frozen=True)
class Request:
    """A request that is to be made: of `rule` of the step `guard`, because of what it saw."""

    guard: Step
    rule: int
    because: str
    facts: Mapping[str, Any]
    digest: str
    writes: Sequence[BoundWrite]
    replaces: ApprovalRow | None = None
    changes: Mapping[str, Any] | None = None
    id: UUID = field(default_factory=new_id)

    @property
    def lines(self) -> dict[str, StepOutput]:
        """The records, by the step that will write them."""
        return {
            write.step.key: StepOutput({}, write.source.records, write.source.sensitive)
            for write in self.writes
        }


@dataclass(frozen=True)
class Asks:
    """What has to be asked before the step may go on: requests that stand, that mean nothing any more, and
    that are to be made; and those that people have agreed to."""

    step: Step
    standing: Sequence[ApprovalRow]
    voided: Sequence[ApprovalRow]
    requests: Sequence[Request]
    heard: Sequence[ApprovalRow] = ()

    @property
    def waits(self) -> bool:
        """Whether anybody has to decide."""
        return bool(self.standing or self.requests)


class Approving:
    """The questions of one step that guards writes."""

    def __init__(self, work: Work, guard: Step) -> None:
        self._work = work
        self._guard = guard

    @cached_property
    def _writes(self) -> list[BoundWrite]:
        return bound_writes(self._work, self._guard)

    @cached_property
    def _digest(self) -> str:
        return total_digest(self._writes)

    @cached_property
    def _latest(self) -> dict[int, ApprovalRow]:
        work = self._work
        with work.services.database.reading() as connection:
            return approvals.of_step(connection, work.run.id, work.chunk_id, self._guard.key)

    def settle(self, asked: Mapping[int, str], facts: Mapping[str, Any]) -> Asks:
        """What is left to ask when these rules hold, each with its reason. Raises `ApprovalRejected` or
        `ApprovalExpired` when people have said no, or nothing, to what would be written."""
        return self._settle(asked, facts, lambda row: row.digest == self._digest)

    def still_approved(self) -> Asks:
        """What is left to ask before a guarded write: nothing, when it writes what was approved. It compares
        only what it writes itself: records of earlier writes may not be there any more."""
        rows = [row for row in self._latest.values() if row.state in _COUNTS or _unheard_no(row)]
        asked = {row.rule: row.because for row in rows}
        return self._settle(asked, rows[0].facts if rows else {}, self._covers)

    def _covers(self, row: ApprovalRow) -> bool:
        own = {write.step.key: write.digest for write in self._writes}.get(self._work.step.key)
        told = {write["step"]: write["digest"] for write in row.summary["writes"]}
        return own is None or told.get(self._work.step.key) == own

    def _settle(
        self, asked: Mapping[int, str], facts: Mapping[str, Any], covers: Callable[[ApprovalRow], bool]
    ) -> Asks:
        standing, voided, requests = [], [], []
        for rule, because in asked.items():
            row = self._latest.get(rule)
            if row is not None and _unheard_no(row):
                raise refusal(row)
            same = row is not None and covers(row)
            if row is not None and row.state is ApprovalState.REQUESTED and same:
                standing.append(row)
            elif row is None or row.state is not ApprovalState.APPROVED or not same:
                requests.append(self._request(rule, because, facts, row))
        for rule, row in self._latest.items():
            if row.state in _COUNTS and (rule not in asked or not covers(row)):
                voided.append(row)
        heard = [row for row in self._latest.values() if row.state in _COUNTS and row not in standing]
        return Asks(self._work.step, standing, voided, requests, [row for row in heard if row not in voided])

    def _request(
        self, rule: int, because: str, facts: Mapping[str, Any], before: ApprovalRow | None
    ) -> Request:
        changes = self._changes(before) if before is not None and before.digest != self._digest else None
        return Request(self._guard, rule, because, facts, self._digest, self._writes, before, changes)

    def _changes(self, before: ApprovalRow) -> dict[str, Any]:
        """The difference from what was asked before: totals, and while that is kept, records."""
        work = self._work
        lines = work.services.contexts.load_lines(
            work.services.database, work.run.id, before.execution, before.id
        )
        told = {write["step"]: write for write in before.summary.get("writes", [])}
        return {
            "approval": str(before.id),
            "was": before.state.value,
            "writes": [_change(write, told.get(write.step.key), lines) for write in self._writes],
        }


def _unheard_no(row: ApprovalRow) -> bool:
    """A no that the run has not acted on. Once it has, a retry asks again."""
    return row.state in _SAID_NO and row.told_at is None


def refusal(row: ApprovalRow) -> ApprovalRejected | ApprovalExpired:
    """The error of a step that people have said no, or nothing, to."""
    if row.state is ApprovalState.REJECTED:
        reason = (row.outcome or {}).get("reason", "")
        return ApprovalRejected(f"Rejected: {reason}" if reason else "Rejected.")
    said = "Nobody decided in time, which counts as rejected." if row.on_timeout != "fail" else ""
    kind = ApprovalExpired if row.on_timeout == "fail" else ApprovalRejected
    return kind(said or "Nobody decided in time. Retry the run to ask again.")


def unapproved(work: Work) -> Asks | None:
    """What has to be asked before the work's step may write; `None` when nothing has."""
    for guard in guards_of(level_of(work), work.step.key):
        asks = Approving(work, guard).still_approved()
        if asks.waits:
            return asks
    return None


def _change(
    write: BoundWrite, told: Mapping[str, Any] | None, lines: Mapping[str, StepOutput]
) -> dict[str, Any]:
    now = write.summary()
    change: dict[str, Any] = {
        "step": write.step.key,
        "records": {"before": (told or {}).get("records", 0), "after": now["records"]},
        "measures": {
            name: {"before": (told or {}).get("measures", {}).get(name), "after": value}
            for name, value in now["measures"].items()
        },
    }
    was = lines[write.step.key].records if write.step.key in lines else None
    return change if was is None else change | _record_changes(write, was)


def _record_changes(write: BoundWrite, was: Any) -> dict[str, Any]:
    found = changed(was, write.source.records, write.key)

    def shown(record: Any) -> dict[str, Any]:
        return visible(record, write.source.sensitive)

    return {
        "added": {"count": len(found.added), "first": [shown(one) for one in found.added[:SHOWN_CHANGES]]},
        "removed": {
            "count": len(found.removed),
            "first": [shown(one) for one in found.removed[:SHOWN_CHANGES]],
        },
        "altered": {
            "count": len(found.altered),
            "first": [
                {"before": shown(old), "after": shown(new)} for old, new in found.altered[:SHOWN_CHANGES]
            ],
        },
    }


def keep_lines(services: Services, run: RunRow, asks: Asks) -> None:
    """Seal what people are asked about, before they are."""
    for request in asks.requests:
        services.contexts.keep_lines(services.database, run, request.id, request.lines, ENGINE)


def ask(connection: Connection, work: Work, asks: Asks, now: datetime) -> list[ApprovalRow]:
    """Void what means nothing any more and make the requests; returns all that are open.

    Within the transaction that suspends what waits for them; the caller has locked the run.
    """
    forget(connection, asks, now)
    for row in asks.standing:
        pass_deadline(connection, row, now)
    for request in asks.requests:
        _open(connection, work, request, now)
    ids = [*(row.id for row in asks.standing), *(request.id for request in asks.requests)]
    rows = [approvals.get_approval(connection, one) for one in ids]
    return [row for row in rows if row.state is ApprovalState.REQUESTED]


def settled(connection: Connection, work: Work, asks: Asks, now: datetime) -> None:
    """Nobody has to be asked any more: the run has heard what was said."""
    forget(connection, asks, now)
    approvals.mark_told(connection, work.run.id, now, [row.id for row in asks.heard])


def forget(connection: Connection, asks: Asks, now: datetime) -> None:
    """Void what means nothing any more."""
    for row in asks.voided:
        void_approval(connection, row, "The records have changed.", ENGINE, now)


def _open(connection: Connection, work: Work, request: Request, now: datetime) -> None:
    rule = _rule(request.guard, request.rule)
    due_at = now + parse_duration(rule.due)
    remind = due_at - (parse_duration(rule.remind) if rule.remind else parse_duration(rule.due) / REMINDED)
    values = {
        "id": request.id,
        "run_id": work.run.id,
        "chunk_id": work.chunk_id,
        "step_key": request.guard.key,
        "execution": work.run.execution,
        "rule": request.rule,
        "because": request.because,
        "approvers": list(dict.fromkeys(rule.by)),
        "quorum": rule.quorum,
        "escalations": [one.model_dump() for one in rule.escalate],
        "on_timeout": rule.on_timeout,
        "excluded": _excluded(connection, work.run),
        "digest": request.digest,
        "facts": dict(request.facts),
        "summary": _summary(connection, work, request),
        "changes": request.changes,
        "replaces": request.replaces.id if request.replaces else None,
        "requested_at": now,
        "due_at": due_at,
        "next_at": remind,
    }
    approvals.insert_approval(connection, values)
    row = approvals.get_approval(connection, request.id)
    announce(connection, row.id, "asked", row.audience, now)
    record_event(connection, row, "approval.requested", ENGINE, now, {"digest": request.digest})


def _rule(guard: Step, index: int) -> Approve:
    assert guard.govern is not None
    rule = guard.govern.rules[index]
    assert isinstance(rule, Approve)
    return rule


def _excluded(connection: Connection, run: RunRow) -> list[str]:
    """Who has asked for the run, or for the one above all it was started for."""
    root = runs.get_run(connection, run.root_run_id) if run.root_run_id else run
    return list(dict.fromkeys((run.requested_by, root.requested_by)))


def _summary(connection: Connection, work: Work, request: Request) -> dict[str, Any]:
    writes = [write.summary() for write in request.writes]
    amounts = [write["measures"]["amount"] for write in writes if "amount" in write["measures"]]
    return {
        "workflow": work.run.workflow,
        "name": work.workflow.name or work.run.workflow,
        "version": work.run.version,
        "environment": work.services.environment,
        "requested_by": work.run.requested_by,
        "writes": writes,
        "amount": amounts[0] if len(amounts) == 1 else None,
        "rejected": _rejected(connection, work),
        "chunk": dict(work.chunk.shown) if work.chunk is not None else None,
    }


def _rejected(connection: Connection, work: Work) -> int:
    """In the transaction that writes the counts down: others do not see them yet."""
    tasks: Iterable[Any] = runs.get_tasks(connection, work.run.id)
    return sum(int((task.counts or {}).get("rejected", 0)) for task in tasks)
