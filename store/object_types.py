"""Business object types: JSON Schemas by name."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from store.tables import business_object_type


def save_object_type(
    connection: Connection, name: str, schema: Mapping[str, Any], actor: str, now: datetime
) -> None:
    """Create or replace a type's schema."""
    statement = insert(business_object_type).values(
        name=name, schema=schema, created_by=actor, created_at=now, updated_at=now
    )
    changed = {"schema": schema, "updated_at": now}
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed))


def object_types(connection: Connection) -> dict[str, Mapping[str, Any]]:
    """All schemas by name."""
    rows = connection.execute(select(business_object_type.c.name, business_object_type.c.schema))
    return {row.name: row.schema for row in rows}
