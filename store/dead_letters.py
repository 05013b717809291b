"""Records that could not be processed, sealed, with their reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from kernel.ids import new_id
from store.tables import dead_letter


@dataclass(frozen=True)
class DeadLetter:
    """One record's fate. `record` is what may be seen of it."""

    id: UUID
    run_id: UUID
    step_key: str
    reason: str
    faults: list[Mapping[str, Any]]
    record: Mapping[str, Any]
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


def keep(
    connection: Connection, run_id: UUID, step_key: str, letters: Sequence[NewDeadLetter], now: datetime
) -> None:
    """Store dead letters; the same record of the same step is kept once."""
    if not letters:
        return
    rows = [
        {"id": new_id(), "run_id": run_id, "step_key": step_key, "created_at": now, **vars(letter)}
        for letter in letters
    ]
    connection.execute(insert(dead_letter).on_conflict_do_nothing(constraint="dead_letter_record_key"), rows)


def list_for_run(connection: Connection, run_id: UUID, after: UUID | None, limit: int) -> list[DeadLetter]:
    """A run's dead letters in the order they were kept."""
    names = ("id", "run_id", "step_key", "reason", "faults", "record", "created_at")
    query = select(*(dead_letter.c[name] for name in names)).where(dead_letter.c.run_id == run_id)
    if after:
        query = query.where(dead_letter.c.id > after)
    return [
        DeadLetter(**row._mapping)
        for row in connection.execute(query.order_by(dead_letter.c.id).limit(limit))
    ]
