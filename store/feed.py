"""What has happened to a run and to its own steps, for those who watch it.

Transitions get their numbers before they are committed, so a higher number may become visible first: whoever
remembers only the highest number that they saw may miss one. But the transitions of one thing cannot overtake
each other: each is an UPDATE of its row, which stays locked until the commit, and its number is drawn under
that lock. Whoever watches therefore remembers the last number of each thing: what is visible of a thing is
always all up to some number.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.types import BigInteger

from store.tables import dead_letter
from workflows.states import DeadLetterState

_AFTER = text(
    "SELECT given.place, change.id, change.before, change.after, change.actor, change.at"
    " FROM unnest(:things, :seen) WITH ORDINALITY AS given(thing, seen, place)"
    " JOIN sluice.state_transition change ON change.entity_id = given.thing AND change.id > given.seen"
    " ORDER BY change.id LIMIT :most"
).bindparams(
    bindparam("things", type_=ARRAY(PGUUID(as_uuid=True))), bindparam("seen", type_=ARRAY(BigInteger))
)


@dataclass(frozen=True)
class Change:
    """One transition. `place` says of which of the things that were asked for, from 0."""

    place: int
    number: int
    before: str | None
    after: str
    actor: str
    at: datetime


def changes_after(
    connection: Connection, things: Sequence[UUID], seen: Sequence[int], limit: int
) -> list[Change]:
    """The transitions of each of the things behind the last one that was seen of it, by number."""
    rows = connection.execute(_AFTER, {"things": list(things), "seen": list(seen), "most": limit})
    return [Change(row.place - 1, row.id, row.before, row.after, row.actor, row.at) for row in rows]


def count_letters(connection: Connection, run_id: UUID) -> Mapping[str, Counter[DeadLetterState]]:
    """How many records each step has set aside, those of its chunks included, and what became of them."""
    columns = (dead_letter.c.step_key, dead_letter.c.state)
    query = select(*columns, func.count()).where(dead_letter.c.run_id == run_id).group_by(*columns)
    found: dict[str, Counter[DeadLetterState]] = {}
    for step_key, state, count in connection.execute(query):
        found.setdefault(step_key, Counter())[DeadLetterState(state)] = count
    return found
