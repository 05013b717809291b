"""The audit trail: per stream, every event carries the hash of the one before."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from store.driver import execute, only

GENESIS = "0" * 64
_PENDING = "sluice.audit"
_RUN_STREAMS = 16
_HASHED = ("stream", "sequence", "actor", "action", "subject", "details", "previous_hash")
_LOCK = "SELECT sequence, hash FROM sluice.lock_audit_head(%(stream)s)"
_INSERT = (
    "INSERT INTO sluice.audit_event (stream, sequence, at, actor, action, subject, details, previous_hash,"
    " hash) VALUES (%(stream)s, %(sequence)s, %(at)s, %(actor)s, %(action)s, %(subject)s, %(details)s,"
    " %(previous_hash)s, %(hash)s)"
)


def run_stream(run_id: UUID) -> str:
    """The stream of a run's events. There are several, so that runs do not wait for each other's commits."""
    return f"runs-{run_id.int % _RUN_STREAMS:02x}"  # the last bits of an id are random


def record(
    connection: Connection, *, stream: str, actor: str, action: str, subject: str,
    details: Mapping[str, Any], now: datetime,
) -> None:  # fmt: skip
    """Add an event to the caller's transaction: both are committed, or neither is.

    `details` must be free of secrets and record values; of numbers only whole ones stay numbers.
    """
    event = {"at": now, "actor": actor, "action": action, "subject": subject, "details": _stable(details)}
    connection.info[_PENDING].append({"stream": stream, **event})


@contextmanager
def recording(connection: Connection) -> Iterator[None]:
    """Append what was recorded meanwhile to its streams, as the last thing before the commit.

    Whoever holds the head of a stream therefore waits for nothing but heads, and always in the same order:
    transactions cannot wait for each other in a circle, and none holds a stream for longer than its commit.
    """
    info = connection.info  # of the driver's connection: the transaction may lose that one meanwhile
    pending: list[dict[str, Any]] = []
    info[_PENDING] = pending
    try:
        yield
        for stream, events in groupby(sorted(pending, key=_stream), key=_stream):
            _append(connection, stream, list(events))
    finally:
        del info[_PENDING]


def event_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 over an event's canonical JSON, with the hash of the one before."""
    content = {name: row[name] for name in _HASHED} | {"at": row["at"].astimezone(UTC).isoformat()}
    text_form = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text_form.encode()).hexdigest()


def _append(connection: Connection, stream: str, events: list[dict[str, Any]]) -> None:
    head = only(execute(connection, _LOCK, {"stream": stream}))
    previous = head["hash"]
    for number, event in enumerate(events, head["sequence"] + 1):
        row = {**event, "sequence": number, "previous_hash": previous}
        previous = event_hash(row)
        execute(connection, _INSERT, {**row, "details": Jsonb(row["details"]), "hash": previous})


def _stream(event: Mapping[str, Any]) -> str:
    stream: str = event["stream"]
    return stream


def _stable(details: Mapping[str, Any]) -> Any:
    """The details as they come back from the database, which writes numbers with decimals in other ways."""
    return json.loads(json.dumps(details, default=str), parse_float=str, parse_constant=str)
