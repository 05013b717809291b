"""Requests for approval. Every change of state is one compare-and-set guarded by the state table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, cast, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY

from kernel.errors import NotFound
from store.approval_tables import approval
from store.driver import adapted, assignments, execute
from workflows.states import ApprovalState, predecessors

_row = approval.c
MOST_LATE = 20
"""So many decisions that came too late are kept with a request; the audit trail has all."""


@dataclass(frozen=True)
class ApprovalRow:
    """One request: which rule of which step of which run asked whom, for what, and what came of it.

    `approvers` are names of groups, or `person:` and an id; `excluded` are ids of people who may not decide.
    `digest` is of exactly the records that the guarded writes will send. `told_at` is when the run acted on
    how it ended. What it shows is redacted.
    """

    id: UUID
    run_id: UUID
    chunk_id: UUID | None
    step_key: str
    execution: int
    rule: int
    because: str
    approvers: list[str]
    quorum: int
    level: int
    escalations: list[Mapping[str, Any]]
    on_timeout: str
    excluded: list[str]
    digest: str
    facts: Mapping[str, Any]
    summary: Mapping[str, Any]
    changes: Mapping[str, Any] | None
    replaces: UUID | None
    state: ApprovalState
    requested_at: datetime
    due_at: datetime | None
    next_at: datetime | None
    reminded_at: datetime | None
    ended_at: datetime | None
    outcome: Mapping[str, Any] | None
    told_at: datetime | None

    @property
    def audience(self) -> dict[str, list[str]]:
        """Whom to tell: the groups and people who may decide."""
        people = [name.removeprefix("person:") for name in self.approvers if name.startswith("person:")]
        return {
            "groups": [name for name in self.approvers if not name.startswith("person:")],
            "people": people,
        }


@dataclass(frozen=True)
class ApprovalFilter:
    """What a list may be narrowed to. `approvers` are names of which one is asked; `not_by` is who is left
    out because it is their own request."""

    states: Sequence[ApprovalState] = ()
    run_id: UUID | None = None
    approvers: Sequence[str] | None = None
    not_by: str | None = None
    before: tuple[datetime, UUID] | None = None


_COLUMNS = tuple(_row[part.name] for part in fields(ApprovalRow))
_SELECT = f"SELECT {', '.join(part.name for part in fields(ApprovalRow))} FROM sluice.approval"  # noqa: S608
_GET = _SELECT + " WHERE id = %(id)s"
_LOCK = _GET + " FOR UPDATE"
_OF_STEP = (
    _SELECT + " WHERE run_id = %(run_id)s AND chunk_id IS NOT DISTINCT FROM %(chunk_id)s"
    " AND step_key = %(step_key)s ORDER BY rule, requested_at, id"
)
_OPEN_OF_RUN = _SELECT + " WHERE run_id = %(run_id)s AND state = 'REQUESTED' ORDER BY id"


def _approval(row: Any) -> ApprovalRow:
    return _stored(row._mapping)


def _stored(row: Mapping[str, Any]) -> ApprovalRow:
    return ApprovalRow(**{**row, "state": ApprovalState(row["state"])})


def insert_approval(connection: Connection, values: Mapping[str, Any]) -> None:
    """Write a request."""
    connection.execute(approval.insert().values(state=ApprovalState.REQUESTED, **values))


def get_approval(connection: Connection, approval_id: UUID) -> ApprovalRow:
    """One request; `NotFound` when there is none."""
    return _one(connection, _GET, approval_id)


def lock_approval(connection: Connection, approval_id: UUID) -> ApprovalRow:
    """The same, and nobody else changes it until this transaction ends. Lock its run first."""
    return _one(connection, _LOCK, approval_id)


def _one(connection: Connection, statement: str, approval_id: UUID) -> ApprovalRow:
    row = execute(connection, statement, {"id": approval_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no approval {approval_id}.")
    return _stored(row)


def of_step(
    connection: Connection, run_id: UUID, chunk_id: UUID | None, step_key: str
) -> dict[int, ApprovalRow]:
    """The latest request of each rule of a step, by rule."""
    given = {"run_id": run_id, "chunk_id": chunk_id, "step_key": step_key}
    return {row["rule"]: _stored(row) for row in execute(connection, _OF_STEP, given)}


def count_latest(connection: Connection, run_id: UUID) -> Counter[ApprovalState]:
    """How many of the latest requests of a run's rules, and of its chunks', are in which state."""
    place = (_row.chunk_id, _row.step_key, _row.rule)
    query = select(*place, _row.state).where(_row.run_id == run_id).order_by(_row.requested_at, _row.id)
    latest = {tuple(row[:3]): row.state for row in connection.execute(query)}
    return Counter(map(ApprovalState, latest.values()))


def open_of_run(connection: Connection, run_id: UUID) -> list[ApprovalRow]:
    """Requests of a run and its chunks that nobody has decided yet."""
    return [_stored(row) for row in execute(connection, _OPEN_OF_RUN, {"run_id": run_id})]


def overdue(connection: Connection, now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """Requests for which something is to be done by now, with their runs, the latest first due."""
    due = (_row.state == ApprovalState.REQUESTED) & (_row.next_at <= now)
    query = select(_row.id, _row.run_id).where(due).order_by(_row.next_at).limit(limit)
    return [(row.id, row.run_id) for row in connection.execute(query)]


def list_approvals(connection: Connection, wanted: ApprovalFilter, limit: int) -> list[ApprovalRow]:
    """Requests that match, newest first."""
    query = select(*_COLUMNS).order_by(_row.requested_at.desc(), _row.id.desc()).limit(limit)
    if wanted.states:
        query = query.where(_row.state.in_(wanted.states))
    if wanted.run_id is not None:
        query = query.where(_row.run_id == wanted.run_id)
    if wanted.approvers is not None:
        query = query.where(_row.approvers.has_any(cast(list(wanted.approvers), ARRAY(Text))))
    if wanted.not_by is not None:
        query = query.where(~_row.excluded.contains([wanted.not_by]))
    if wanted.before:
        query = query.where(tuple_(_row.requested_at, _row.id) < tuple_(*wanted.before))
    return [_approval(row) for row in connection.execute(query)]


def replacement_of(connection: Connection, row: ApprovalRow) -> UUID | None:
    """The request that was made in place of this one; `None` when there is none."""
    after = (_row.run_id == row.run_id) & (_row.replaces == row.id)
    found: UUID | None = connection.scalar(select(_row.id).where(after).limit(1))
    return found


def move_approval(connection: Connection, approval_id: UUID, state: ApprovalState, **values: Any) -> bool:
    """Compare-and-set a request into `state`; False when the table forbids it now."""
    changed = adapted({"state": state, **values})
    statement = (
        f"UPDATE sluice.approval SET {assignments(changed)}"  # noqa: S608 - our columns
        " WHERE id = %(_id)s AND state = ANY(%(_before)s) RETURNING id"
    )
    before = [one.value for one in predecessors(state)]
    given = {**changed, "_id": approval_id, "_before": before}
    return execute(connection, statement, given).fetchone() is not None


def change_open(connection: Connection, approval_id: UUID, **values: Any) -> bool:
    """Change what is asked of whom while it is open; not a state change. False when it has ended."""
    opened = (_row.id == approval_id) & (_row.state == ApprovalState.REQUESTED)
    return connection.execute(approval.update().where(opened).values(**values)).rowcount == 1


def note_late(connection: Connection, row: ApprovalRow, late: Mapping[str, Any]) -> None:
    """Somebody decided when the request had ended: that is kept with its outcome, and changes nothing."""
    outcome = dict(row.outcome or {})
    known = outcome.get("late", [])
    if row.state is not ApprovalState.REQUESTED and len(known) < MOST_LATE:
        told = outcome | {"late": [*known, dict(late)]}
        connection.execute(approval.update().where(_row.id == row.id).values(outcome=told))


def mark_told(connection: Connection, run_id: UUID, now: datetime, ids: Sequence[UUID] | None = None) -> None:
    """The run has acted on how these requests have ended; on all that have, without `ids`."""
    given = {"run_id": run_id, "now": now, "ids": None if ids is None else list(ids)}
    execute(connection, _TOLD, given)


_TOLD = (
    "UPDATE sluice.approval SET told_at = %(now)s WHERE run_id = %(run_id)s AND state <> 'REQUESTED'"
    " AND told_at IS NULL AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s::uuid[]))"
)
