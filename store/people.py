"""The people who were here: how they are called, and where they can be written to."""

from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from kernel.people import Person
from store.approval_tables import person as table


def note_seen(connection: Connection, person: Person, now: datetime) -> None:
    """Write down that a person was here, with the name and mail address they have now."""
    told = {"name": person.name, "email": person.email, "last_seen_at": now}
    new = insert(table).values(id=person.id, first_seen_at=now, **told)
    connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=told))
