"""What people have said about requests for approval: decisions, comments, and who has looked. Evidence: rows
are only ever added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from kernel.ids import new_id
from store.approval_tables import (
    approval_comment,
    approval_viewing,
    notification,
)
from store.driver import adapted, execute

NO_LINK = UUID(int=0)


@dataclass(frozen=True)
class DecisionRow:
    """What one person decided: `groups` are the names by which they were asked, `link` is the notification
    whose link they followed, `source` is page or api."""

    id: UUID
    approval_id: UUID
    decision: str
    reason: str
    actor: str
    level: int
    groups: Sequence[str]
    source: str
    link: UUID | None
    address: str | None
    decided_at: datetime


@dataclass(frozen=True)
class CommentRow:
    """What somebody asked or answered."""

    id: UUID
    approval_id: UUID
    actor: str
    text: str
    created_at: datetime


def insert_decision(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Add a decision; False when the person has decided before."""
    given = adapted({"id": new_id(), **values})
    once = (
        f"INSERT INTO sluice.approval_decision ({', '.join(given)})"  # noqa: S608 - our columns
        f" VALUES ({', '.join(f'%({name})s' for name in given)})"
        " ON CONFLICT ON CONSTRAINT approval_decision_actor_key DO NOTHING RETURNING id"
    )
    return execute(connection, once, given).fetchone() is not None


_DECISIONS = (
    f"SELECT {', '.join(part.name for part in fields(DecisionRow))} FROM sluice.approval_decision"  # noqa: S608
    " WHERE approval_id = %(id)s ORDER BY decided_at, id"
)


def decisions_of(connection: Connection, approval_id: UUID) -> list[DecisionRow]:
    """All decisions about a request, in order."""
    return [DecisionRow(**row) for row in execute(connection, _DECISIONS, {"id": approval_id})]


def insert_comment(connection: Connection, approval_id: UUID, actor: str, text: str, now: datetime) -> None:
    """Add a comment."""
    values = {"id": new_id(), "approval_id": approval_id, "actor": actor, "text": text, "created_at": now}
    connection.execute(approval_comment.insert().values(values))


def comments_of(connection: Connection, approval_id: UUID) -> list[CommentRow]:
    """All comments about a request, in order."""
    return [CommentRow(**row) for row in execute(connection, _COMMENTS, {"id": approval_id})]


_COMMENTS = (
    f"SELECT {', '.join(part.name for part in fields(CommentRow))} FROM sluice.approval_comment"  # noqa: S608
    " WHERE approval_id = %(id)s ORDER BY id"
)


def note_viewing(
    connection: Connection, approval_id: UUID, actor: str, link: UUID | None, now: datetime
) -> bool:
    """Somebody has seen a request, by a link or without; False when that is known."""
    values = {"approval_id": approval_id, "actor": actor, "link": link or NO_LINK, "viewed_at": now}
    adding = insert(approval_viewing).values(values).on_conflict_do_nothing()
    return connection.execute(adding.returning(approval_viewing.c.actor)).first() is not None


def count_announced(connection: Connection, approval_id: UUID, kind: str) -> int:
    """How often people were told something of a kind: the level of the next time."""
    told = (notification.c.approval_id == approval_id) & (notification.c.kind == kind)
    query = select(func.count()).where(told, notification.c.announcement.is_(None))
    return connection.execute(query).scalar_one()


def names_of(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The names of people who have been here, by id."""
    rows = execute(
        connection, "SELECT id, name FROM sluice.person WHERE id = ANY(%(ids)s)", {"ids": list(ids)}
    )
    return {row["id"]: row["name"] for row in rows}
