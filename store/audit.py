"""The audit trail: per stream, every row carries the hash of the one before."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select, text

from store.tables import audit_event

GENESIS = "0" * 64


def record(
    connection: Connection, *, stream: str, actor: str, action: str, subject: str,
    details: Mapping[str, Any], now: datetime,
) -> None:  # fmt: skip
    """Append an event in the caller's transaction. `details` must be free of secrets and record values."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"audit:{stream}"})
    table = audit_event
    last = connection.execute(
        select(table.c.sequence, table.c.hash)
        .where(table.c.stream == stream)
        .order_by(table.c.sequence.desc())
        .limit(1)
    ).first()
    row = {
        "stream": stream,
        "sequence": (last.sequence + 1) if last else 1,
        "at": now,
        "actor": actor,
        "action": action,
        "subject": subject,
        "details": dict(details),
        "previous_hash": last.hash if last else GENESIS,
    }
    connection.execute(table.insert().values(**row, hash=event_hash(row)))


def event_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 over an event's canonical JSON, with the hash of the one before."""
    names = ("stream", "sequence", "actor", "action", "subject", "details", "previous_hash")
    content = {name: row[name] for name in names} | {"at": row["at"].astimezone(UTC).isoformat()}
    text_form = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text_form.encode()).hexdigest()


def broken_links(connection: Connection, stream: str) -> list[int]:
    """Sequence numbers at which the chain does not hold: changed, removed or inserted rows."""
    table = audit_event
    expected_sequence, expected_hash, broken = 1, GENESIS, []
    for row in connection.execute(select(table).where(table.c.stream == stream).order_by(table.c.sequence)):
        intact = (row.sequence, row.previous_hash) == (expected_sequence, expected_hash)
        if not intact or event_hash(dict(row._mapping)) != row.hash:
            broken.append(row.sequence)
        expected_sequence, expected_hash = row.sequence + 1, row.hash
    return broken
