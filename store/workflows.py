"""Workflows and their immutable versions."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, text
from sqlalchemy.dialects.postgresql import insert

from kernel.errors import NotFound
from kernel.ids import new_id
from store.driver import execute, only
from store.tables import workflow, workflow_version


@dataclass(frozen=True)
class Version:
    """One published definition with its plan."""

    id: UUID
    workflow: str
    number: int
    hash: str
    definition: Mapping[str, Any]
    source: str
    plan: Mapping[str, Any]
    published_by: str
    published_at: datetime


@dataclass(frozen=True)
class WorkflowRow:
    """A workflow as lists show it."""

    key: str
    name: str
    active_version: int
    created_at: datetime
    updated_at: datetime


def _version(row: Row[Any]) -> Version:
    return Version(**row._mapping)


@dataclass(frozen=True)
class Published:
    """What came of publishing: the version, whether it is new, and which was the active one before."""

    version: Version
    made: bool
    active_before: int | None


def publish(connection: Connection, key: str, name: str, new: Mapping[str, Any], now: datetime) -> Published:
    """Store a definition as the next version, and make it the active one; the same hash is stored once.

    `new` has hash, definition, source, plan and published_by.
    """
    # Two publishers of the same workflow must not take the same number.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:key))"), {"key": f"workflow:{key}"})
    table = workflow_version
    found = connection.execute(
        select(table).where(table.c.workflow == key, table.c.hash == new["hash"])
    ).first()
    made = found is None
    active = connection.scalar(select(workflow.c.active_version).where(workflow.c.key == key))
    highest = connection.scalar(select(func.max(table.c.number)).where(table.c.workflow == key)) or 0
    number = highest + 1 if found is None else found.number
    statement = insert(workflow).values(
        key=key, name=name, active_version=number, created_at=now, updated_at=now
    )
    values = {"name": name, "active_version": number, "updated_at": now}
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=values))
    if found is None:
        row = {"id": new_id(), "workflow": key, "number": number, "published_at": now, **new}
        found = connection.execute(table.insert().values(row).returning(table)).one()
    return Published(_version(found), made, active)


def active_version(connection: Connection, key: str) -> Version:
    """The version that new runs use; `NotFound` when there is no such workflow."""
    found = numbered_version(connection, key)
    if found is None:
        raise _unpublished(key)
    return found


_ACTIVE = (
    "SELECT version.id, version.number FROM sluice.workflow JOIN sluice.workflow_version version"
    " ON version.workflow = workflow.key AND version.number = workflow.active_version"
    " WHERE workflow.key = %(key)s"
)


def active_id(connection: Connection, key: str) -> tuple[UUID, int]:
    """Id and number of the version that new runs use; raises as `active_version` does."""
    row = execute(connection, _ACTIVE, {"key": key}).fetchone()
    if row is None:
        raise _unpublished(key)
    return row["id"], row["number"]


def _unpublished(key: str) -> NotFound:
    return NotFound(f"There is no workflow {key!r}; publish it first.")


def numbered_version(connection: Connection, key: str, number: int | None = None) -> Version | None:
    """The version of that number, or the active one; `None` when there is none."""
    table = workflow_version
    chosen = table.c.number == number if number is not None else table.c.number == workflow.c.active_version
    joined = table.join(workflow, workflow.c.key == table.c.workflow)
    query = select(table).select_from(joined).where(workflow.c.key == key, chosen)
    row = connection.execute(query).first()
    return None if row is None else _version(row)


def workflow_keys(connection: Connection) -> list[str]:
    """Keys of all workflows, sorted."""
    return list(connection.scalars(select(workflow.c.key).order_by(workflow.c.key)))


def lock_references(connection: Connection) -> None:
    """Wait until no other transaction publishes a workflow that runs others, and let none begin: two at once
    could each refer to the other, and neither would see it."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('workflow references'))"))


_COLUMNS = ", ".join(part.name for part in fields(Version))
_BY_ID = f"SELECT {_COLUMNS} FROM sluice.workflow_version WHERE id = %(id)s"  # noqa: S608 - our columns


def version_by_id(connection: Connection, version_id: UUID) -> Version:
    """The version of that id."""
    return Version(**only(execute(connection, _BY_ID, {"id": version_id})))


def list_workflows(connection: Connection, after: str, limit: int) -> list[WorkflowRow]:
    """Workflows by key, after the given one."""
    query = select(workflow).where(workflow.c.key > after).order_by(workflow.c.key).limit(limit)
    return [WorkflowRow(**row._mapping) for row in connection.execute(query)]


def list_versions(connection: Connection, key: str) -> list[Version]:
    """All versions of a workflow, newest first."""
    table = workflow_version
    query = select(table).where(table.c.workflow == key).order_by(table.c.number.desc())
    return [_version(row) for row in connection.execute(query)]
