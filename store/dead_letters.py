"""Records that could not be processed, sealed, with their reason and what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PGUUID

from kernel.errors import NotFound
from kernel.ids import new_id
from store.tables import dead_letter, workflow_run
from workflows.states import DeadLetterState, predecessors


@dataclass(frozen=True)
class DeadLetter:
    """One record's fate. `record` is what may be seen of it; `retry_run` takes it up again."""

    id: UUID
    run_id: UUID
    chunk_id: UUID | None
    workflow: str
    step_key: str
    reason: str
    faults: list[Mapping[str, Any]]
    record: Mapping[str, Any]
    state: DeadLetterState
    resolved_by: str | None
    resolved_at: datetime | None
    resolution: str | None
    retry_run: UUID | None
    created_at: datetime


@dataclass(frozen=True)
class NewDeadLetter:
    """What to keep of a record: `payload` is sealed, `faults` and `record` are redacted.

    `digest` tells the rejects of a step apart and is the same when the step is repeated.
    """

    digest: str
    reason: str
    faults: list[dict[str, Any]]
    record: dict[str, Any]
    payload: bytes


@dataclass(frozen=True)
class LetterFilter:
    """What a list may be narrowed to. `before` is the last id of the part before."""

    run_id: UUID | None = None
    workflow: str | None = None
    step_key: str | None = None
    state: DeadLetterState | None = None
    chunk_id: UUID | None = None
    before: UUID | None = None


@dataclass(frozen=True)
class SealedLetter:
    """A record as it is to be taken up: edited if someone has edited it."""

    id: UUID
    run_id: UUID
    step_key: str
    payload: bytes


def keep(
    connection: Connection, run_id: UUID, chunk_id: UUID | None, step_key: str,
    letters: Sequence[NewDeadLetter], now: datetime,
) -> None:  # fmt: skip
    """Store what a step sets aside this time; the same record of the same step is kept once.

    What it set aside before, and nobody has dealt with, and goes on this time, is superseded.
    """
    mine = (dead_letter.c.run_id == run_id) & (dead_letter.c.step_key == step_key)
    mine &= dead_letter.c.chunk_id.is_not_distinct_from(chunk_id)
    gone = mine & (dead_letter.c.state == DeadLetterState.OPEN)
    if letters:
        digests = [letter.digest for letter in letters]
        gone &= dead_letter.c.digest != func.all(bindparam("digests", digests, type_=ARRAY(Text)))
    superseded = {"state": DeadLetterState.SUPERSEDED, "resolved_at": now}
    connection.execute(dead_letter.update().where(gone).values(**superseded))
    keep_more(connection, run_id, chunk_id, step_key, letters, now)


def keep_more(
    connection: Connection, run_id: UUID, chunk_id: UUID | None, step_key: str,
    letters: Sequence[NewDeadLetter], now: datetime,
) -> None:  # fmt: skip
    """Store a part of what a step sets aside; nothing is superseded."""
    place = {"run_id": run_id, "chunk_id": chunk_id, "step_key": step_key, "created_at": now}
    rows = [{"id": new_id(), **place, **vars(letter)} for letter in letters]
    if not rows:
        return
    new = insert(dead_letter)
    again = {name: new.excluded[name] for name in ("reason", "faults", "record", "payload")}
    opened = {"state": DeadLetterState.OPEN, "resolved_at": None, **again}
    superseded = dead_letter.c.state == DeadLetterState.SUPERSEDED
    connection.execute(
        new.on_conflict_do_update(constraint="dead_letter_record_key", set_=opened, where=superseded), rows
    )


def _letters() -> Select[Any]:
    columns = [dead_letter.c[part.name] for part in fields(DeadLetter) if part.name != "workflow"]
    joined = dead_letter.join(workflow_run, dead_letter.c.run_id == workflow_run.c.id)
    return select(*columns, workflow_run.c.workflow).select_from(joined)


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(**{**row._mapping, "state": DeadLetterState(row.state)})


def list_for_run(connection: Connection, run_id: UUID, after: UUID | None, limit: int) -> list[DeadLetter]:
    """A run's dead letters in the order they were kept."""
    query = _letters().where(dead_letter.c.run_id == run_id)
    if after:
        query = query.where(dead_letter.c.id > after)
    return [_letter(row) for row in connection.execute(query.order_by(dead_letter.c.id).limit(limit))]


def list_letters(connection: Connection, wanted: LetterFilter, limit: int) -> list[DeadLetter]:
    """Dead letters that match, newest first."""
    query = _letters().order_by(dead_letter.c.id.desc()).limit(limit)
    parts = {
        dead_letter.c.run_id: wanted.run_id,
        workflow_run.c.workflow: wanted.workflow,
        dead_letter.c.step_key: wanted.step_key,
        dead_letter.c.state: wanted.state,
        dead_letter.c.chunk_id: wanted.chunk_id,
    }
    query = query.where(*(column == value for column, value in parts.items() if value is not None))
    if wanted.before:
        query = query.where(dead_letter.c.id < wanted.before)
    return [_letter(row) for row in connection.execute(query)]


def get_letter(connection: Connection, letter_id: UUID) -> DeadLetter:
    """One dead letter; `NotFound` when there is none."""
    row = connection.execute(_letters().where(dead_letter.c.id == letter_id)).first()
    if row is None:
        raise NotFound(f"There is no dead letter {letter_id}.")
    return _letter(row)


def lock_letters(connection: Connection, ids: Sequence[UUID]) -> list[DeadLetter]:
    """Those of these that there are, locked, in the order of ids."""
    query = _letters().where(_among(ids)).order_by(dead_letter.c.id).with_for_update(of=dead_letter)
    return [_letter(row) for row in connection.execute(query)]


def sealed_letters(connection: Connection, ids: Sequence[UUID]) -> list[SealedLetter]:
    """The records of these as they were set aside, in the order of ids."""
    return _sealed(connection, dead_letter.c.payload, _among(ids))


def taken_up_by(connection: Connection, run_id: UUID) -> list[SealedLetter]:
    """The records that a run takes up again, as they were edited for it, in the order of ids."""
    payload = func.coalesce(dead_letter.c.retry_payload, dead_letter.c.payload).label("payload")
    return _sealed(connection, payload, dead_letter.c.retry_run == run_id)


def repaired_step(connection: Connection, run_id: UUID) -> str | None:
    """The step that had set aside what this run takes up again."""
    query = select(dead_letter.c.step_key).where(dead_letter.c.retry_run == run_id).limit(1)
    step_key: str | None = connection.scalar(query)
    return step_key


def _sealed(connection: Connection, payload: Any, chosen: Any) -> list[SealedLetter]:
    columns = (dead_letter.c.id, dead_letter.c.run_id, dead_letter.c.step_key, payload)
    rows = connection.execute(select(*columns).where(chosen).order_by(dead_letter.c.id))
    return [SealedLetter(*row) for row in rows]


@dataclass(frozen=True)
class Resolution:
    """Who decided about dead letters, when and why."""

    actor: str
    reason: str
    at: datetime


def reopen(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """RETRIED becomes OPEN, because the run that was to take them up did not; returns which."""
    values = {"retry_run": None, "retry_payload": None, "resolved_by": None, "resolution": None}
    return _move(connection, ids, DeadLetterState.OPEN, {**values, "resolved_at": None})


def discard(connection: Connection, ids: Sequence[UUID], why: Resolution) -> set[UUID]:
    """OPEN becomes DISCARDED; returns which."""
    return _move(connection, ids, DeadLetterState.DISCARDED, _resolved(why))


def take_up(
    connection: Connection, ids: Sequence[UUID], run_id: UUID, edited: Mapping[UUID, bytes], why: Resolution
) -> set[UUID]:
    """OPEN becomes RETRIED by a run, some with an edited record, sealed; returns which."""
    moved = _move(connection, ids, DeadLetterState.RETRIED, {**_resolved(why), "retry_run": run_id})
    for letter_id, payload in edited.items():
        mine = (dead_letter.c.id == letter_id) & (dead_letter.c.retry_run == run_id)
        connection.execute(dead_letter.update().where(mine).values(retry_payload=payload))
    return moved


def _resolved(why: Resolution) -> dict[str, Any]:
    return {"resolved_by": why.actor, "resolution": why.reason, "resolved_at": why.at}


def _move(
    connection: Connection, ids: Sequence[UUID], state: DeadLetterState, values: Mapping[str, Any]
) -> set[UUID]:
    allowed = dead_letter.c.state.in_(predecessors(state))
    change = dead_letter.update().where(_among(ids), allowed).values(state=state, **values)
    return set(connection.execute(change.returning(dead_letter.c.id)).scalars())


def _among(ids: Sequence[UUID]) -> Any:
    return dead_letter.c.id == func.any(bindparam("ids", list(ids), type_=ARRAY(PGUUID(as_uuid=True))))
