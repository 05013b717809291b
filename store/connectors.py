"""Connectors: configured systems. Secrets are names in the vault, never values."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from kernel.errors import NotFound
from store.driver import execute
from store.tables import connector


@dataclass(frozen=True)
class ConnectorRow:
    """One connector as stored."""

    key: str
    system: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, str]
    created_by: str
    created_at: datetime
    updated_at: datetime


def save_connector(
    connection: Connection, values: Mapping[str, Any], now: datetime
) -> tuple[ConnectorRow, ConnectorRow | None]:
    """Create or replace a connector; returns it, and what it was before."""
    # Two who save the same new connector must not both think that there was none.
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext(:key))"), {"key": f"connector:{values['key']}"}
    )
    known = connection.execute(select(connector).where(connector.c.key == values["key"])).first()
    statement = insert(connector).values(**values, created_at=now, updated_at=now)
    changed = {name: values[name] for name in ("system", "settings", "secrets")} | {"updated_at": now}
    statement = statement.on_conflict_do_update(index_elements=["key"], set_=changed)
    row = connection.execute(statement.returning(connector)).one()
    return ConnectorRow(**row._mapping), ConnectorRow(**known._mapping) if known else None


_COLUMNS = ", ".join(part.name for part in fields(ConnectorRow))
_GET = f"SELECT {_COLUMNS} FROM sluice.connector WHERE key = %(key)s"  # noqa: S608 - our columns


def get_connector(connection: Connection, key: str) -> ConnectorRow:
    """The connector; `NotFound` when there is none."""
    row = execute(connection, _GET, {"key": key}).fetchone()
    if row is None:
        raise NotFound(f"There is no connector {key!r}.")
    return ConnectorRow(**row)


def list_connectors(connection: Connection) -> list[ConnectorRow]:
    """All connectors by key."""
    return [
        ConnectorRow(**row._mapping)
        for row in connection.execute(select(connector).order_by(connector.c.key))
    ]
