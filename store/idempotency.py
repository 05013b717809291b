"""Answers to requests that carried an `Idempotency-Key`, so that a repeat gets the first answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from kernel.errors import Conflict
from store.tables import idempotency_record


@dataclass(frozen=True)
class IdempotentRequest:
    """Who asked what under which key; `digest` is the SHA-256 of the request's meaning."""

    actor: str
    operation: str
    key: str
    digest: str


def earlier_result(connection: Connection, request: IdempotentRequest) -> Mapping[str, Any] | None:
    """The first answer under this key, or `None`. Later calls under the same key wait for this transaction.

    Raises `Conflict` when the key was used for another request.
    """
    name = f"idempotency:{request.actor}:{request.operation}:{request.key}"
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
    table = idempotency_record
    mine = (
        (table.c.actor == request.actor)
        & (table.c.operation == request.operation)
        & (table.c.key == request.key)
    )
    row = connection.execute(select(table.c.digest, table.c.result).where(mine)).first()
    if row is None:
        return None
    if row.digest != request.digest:
        raise Conflict(f"The Idempotency-Key {request.key!r} was used for another request; use a new key.")
    result: Mapping[str, Any] = row.result
    return result


def remember(
    connection: Connection, request: IdempotentRequest, result: Mapping[str, Any], now: datetime
) -> None:
    """Keep the answer, in the transaction that did the work."""
    connection.execute(
        idempotency_record.insert().values(**vars(request), result=dict(result), created_at=now)
    )
