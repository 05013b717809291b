"""API keys: only the digest of each is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Connection, or_, select, update
from sqlalchemy.engine import Row

from kernel.errors import NotFound
from kernel.people import Role
from store.approval_tables import api_key


@dataclass(frozen=True)
class ApiKeyRow:
    """One key as stored. `scopes` are names of commands; `None` is all that its roles may."""

    id: UUID
    name: str
    roles: frozenset[Role]
    scopes: frozenset[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """The key in a row."""
        values = {name: getattr(row, name) for name in cls.__dataclass_fields__}
        values["roles"] = frozenset(map(Role, row.roles))
        values["scopes"] = None if row.scopes is None else frozenset(row.scopes)
        return cls(**values)


def insert_key(connection: Connection, values: Mapping[str, Any]) -> ApiKeyRow:
    """A new key; `values` has the columns."""
    return ApiKeyRow.of(connection.execute(api_key.insert().values(**values).returning(api_key)).one())


def get_key(connection: Connection, key_id: UUID, *, lock: bool = False) -> ApiKeyRow:
    """A key by its id; raises `NotFound`."""
    query = select(api_key).where(api_key.c.id == key_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound(f"There is no API key {key_id}.")
    return ApiKeyRow.of(row)


def find_key(connection: Connection, digest: str) -> ApiKeyRow | None:
    """The key with this digest, also one that has expired or was revoked."""
    row = connection.execute(select(api_key).where(api_key.c.digest == digest)).first()
    return None if row is None else ApiKeyRow.of(row)


def list_keys(connection: Connection, before: UUID | None, limit: int) -> Sequence[ApiKeyRow]:
    """Keys, newest first."""
    query = select(api_key).order_by(api_key.c.id.desc()).limit(limit)
    rows = connection.execute(query if before is None else query.where(api_key.c.id < before))
    return [ApiKeyRow.of(row) for row in rows]


def revoke_key(connection: Connection, key_id: UUID, by: str, now: datetime) -> bool:
    """Make a key useless for good; whether it was not before."""
    found = connection.execute(
        update(api_key)
        .where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None))
        .values(revoked_at=now, revoked_by=by)
    )
    return found.rowcount == 1


def note_use(connection: Connection, key_id: UUID, now: datetime, since: datetime) -> None:
    """Write down that a key was used, unless that was done after `since`."""
    stale = or_(api_key.c.last_used_at.is_(None), api_key.c.last_used_at < since)
    connection.execute(update(api_key).where(api_key.c.id == key_id, stale).values(last_used_at=now))
