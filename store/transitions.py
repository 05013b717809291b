"""What the database has recorded of changing states."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from store.tables import state_transition


@dataclass(frozen=True)
class Transition:
    """One change. `before` is `None` where the thing begins."""

    before: str | None
    after: str
    actor: str
    at: datetime


def transitions_of(connection: Connection, entity_id: UUID) -> list[Transition]:
    """All changes of one thing, oldest first."""
    columns = [state_transition.c[name] for name in ("before", "after", "actor", "at")]
    mine = state_transition.c.entity_id == entity_id
    rows = connection.execute(select(*columns).where(mine).order_by(state_transition.c.id))
    return [Transition(**row._mapping) for row in rows]
