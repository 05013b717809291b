"""Reading the audit trail, newest first."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, tuple_

from store.tables import audit_event

ANY_ENDING = "*"

type Position = tuple[datetime, int]
"""Where a page ends: the time and id of its last event."""


@dataclass(frozen=True)
class AuditEvent:
    """Who did what to what. `hash` covers all of it with `previous_hash`, that of the event before it in its
    stream."""

    id: int
    stream: str
    sequence: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class EventFilter:
    """What a list of events is narrowed to. An `action` may end with `*`; `until` itself is not included."""

    stream: str | None = None
    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: Position | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same for a query."""
        table = audit_event.c
        exact = {name: getattr(self, name) for name in ("stream", "actor", "subject")}
        found = [table[name] == value for name, value in exact.items() if value is not None]
        if self.action is not None:
            found.append(_is_action(self.action))
        if self.since is not None:
            found.append(table.at >= self.since)
        if self.until is not None:
            found.append(table.at < self.until)
        if self.before is not None:
            found.append(tuple_(table.at, table.id) < tuple_(*self.before))
        return found


def list_events(connection: Connection, wanted: EventFilter, limit: int) -> list[AuditEvent]:
    """Events that match, newest first."""
    columns = [audit_event.c[part.name] for part in fields(AuditEvent)]
    query = select(*columns).where(*wanted.conditions())
    newest = (audit_event.c.at.desc(), audit_event.c.id.desc())
    return [AuditEvent(**row._mapping) for row in connection.execute(query.order_by(*newest).limit(limit))]


def _is_action(wanted: str) -> ColumnElement[bool]:
    action = audit_event.c.action
    if wanted.endswith(ANY_ENDING):
        return action.startswith(wanted.removesuffix(ANY_ENDING), autoescape=True)
    return action == wanted
