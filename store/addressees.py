"""People as messages need them: how they are reached, what they have decided, who commented."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, select

from kernel.people import Addressee
from store.approval_tables import approval_comment, approval_decision, person

_PREFIXES = ("entra:", "local:")


@dataclass(frozen=True)
class Decided:
    """Who decided what, and why."""

    actor: str
    decision: str
    reason: str


def known_people(connection: Connection, ids: Collection[str]) -> Mapping[str, Addressee]:
    """Those of these people who have been here, by id."""
    columns = (person.c.id, person.c.name, person.c.email)
    rows = connection.execute(select(*columns).where(person.c.id.in_(ids)))
    return {row.id: Addressee(row.id, row.name, row.email) for row in rows}


def is_person(actor: str) -> bool:
    """Whether this is a person's id: machines and the engine are not written to."""
    return actor.startswith(_PREFIXES)


def decisions_on(connection: Connection, approval_id: UUID) -> list[Decided]:
    """What has been decided, in order."""
    row = approval_decision.c
    query = select(row.actor, row.decision, row.reason).where(row.approval_id == approval_id)
    return [Decided(*found) for found in connection.execute(query.order_by(row.decided_at, row.id))]


def commenter(connection: Connection, approval_id: UUID, number: int) -> str | None:
    """Who wrote the comment of that number, counted from 1; `None` when there is none."""
    row = approval_comment.c
    mine = select(row.actor).where(row.approval_id == approval_id).order_by(row.created_at, row.id)
    author: str | None = connection.scalar(mine.offset(max(0, number - 1)).limit(1))
    return author
