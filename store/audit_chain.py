"""Whether the audit streams are what was written: finds changed, removed, inserted and exchanged events.

The walk keeps one event and what is wrong with at most `MOST` others. An event whose hash fits another place
than its own was moved there; a place that a moved event belongs to holds one that was put in. Whoever can
write all events of a stream and its head anew leaves no trace here: keep a copy of the heads elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, select

from store.audit import GENESIS, event_hash
from store.tables import audit_event, audit_head

MOST = 100
"""After so many faults the walk through a stream ends."""
_PAGE = 1_000


class Tampering(StrEnum):
    """What was done to a stream."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    CUT_OFF = "cut_off"


@dataclass(frozen=True)
class Broken:
    """One place at which a stream is not what was written; `last` ends a range of sequence numbers."""

    sequence: int
    fault: Tampering
    detail: str
    last: int | None = None


@dataclass(frozen=True)
class StreamReport:
    """A stream's state. `events` were read; `head` is the last sequence number that was written, `None` when
    nobody knows. When not `complete` there are more faults than are listed."""

    stream: str
    events: int
    head: int | None
    broken: tuple[Broken, ...]
    complete: bool = True


def streams(connection: Connection) -> list[str]:
    """All streams that have a head or events, by name."""
    names = select(audit_head.c.stream).union(select(audit_event.c.stream))
    return sorted(connection.scalars(names))


def verify_stream(connection: Connection, stream: str) -> StreamReport:
    """Walk through a stream. The connection must not see events that are committed meanwhile."""
    head = connection.execute(select(audit_head).where(audit_head.c.stream == stream)).first()
    walk = _Walk(None if head is None else head.sequence, None if head is None else head.hash)
    for event in _events(connection, stream):
        walk.see(event)
        if walk.full:
            break
    else:
        walk.end()
    return StreamReport(stream, walk.events, walk.head, walk.explained(), complete=not walk.full)


def _events(connection: Connection, stream: str) -> Iterator[Mapping[str, Any]]:
    table, after = audit_event, None
    while True:
        query = select(table).where(table.c.stream == stream).order_by(table.c.sequence).limit(_PAGE)
        page = connection.execute(query if after is None else query.where(table.c.sequence > after))
        rows = [dict(row) for row in page.mappings()]
        yield from rows
        if len(rows) < _PAGE:
            return
        after = rows[-1]["sequence"]


@dataclass
class _Walk:
    """What was seen so far. `misfits` are events whose hash does not fit their place, by place; `gaps` are
    places without an event; `faults` is what is certain already."""

    head: int | None
    head_hash: str | None
    events: int = 0
    last: int = 0
    linked: str | None = GENESIS
    misfits: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    faults: dict[int, Broken] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether there is more wrong than is worth telling."""
        return len(self.misfits) + len(self.gaps) + len(self.faults) >= MOST

    def see(self, event: Mapping[str, Any]) -> None:
        """The next event by sequence number."""
        place = event["sequence"]
        self.events += 1
        if place > self.last + 1:
            self.gaps.append((self.last + 1, place - 1))
            self.linked = None
        if event_hash(event) != event["hash"]:
            self.misfits[place] = event
            self.linked = None
        else:
            self._see_sound(event, place)
        self.last = max(place, 0)

    def _see_sound(self, event: Mapping[str, Any], place: int) -> None:
        if self.head is not None and not 1 <= place <= self.head:
            self._tell(place, Tampering.INSERTED, "It lies outside of what was written.")
            return
        if self.linked is not None and event["previous_hash"] != self.linked:
            self._tell(max(place - 1, 1), Tampering.CHANGED, "The next event was linked to another hash.")
        elif place == self.head and event["hash"] != self.head_hash:
            self._tell(place, Tampering.CHANGED, "The head of the stream names another hash.")
        self.linked = event["hash"]

    def end(self) -> None:
        """There are no more events."""
        if self.head is None:
            self._tell(self.last, Tampering.CUT_OFF, "The head of the stream is gone, perhaps with events.")
        elif self.last < self.head:
            self.gaps.append((self.last + 1, self.head))

    def explained(self) -> tuple[Broken, ...]:
        """All faults by place."""
        homes = self._homes()
        claimed = {home for home in homes.values() if home is not None}
        for place, home in homes.items():
            if home is not None:
                self._tell(place, Tampering.REORDERED, f"It was written as number {home}.")
            elif place in claimed or (self.head is not None and not 1 <= place <= self.head):
                self._tell(place, Tampering.INSERTED, "It is not what was written here.")
            else:
                self._tell(place, Tampering.CHANGED, "Its content does not fit its hash.")
        for place in claimed - set(homes) - self._empty():
            if place <= self.last:  # what stands here fits its hash, but something else was written first
                self._tell(place, Tampering.INSERTED, "Another event was written as this number.")
        lost = [place for place, home in homes.items() if home is not None and place not in claimed]
        missing = self._missing([*self.gaps, *zip(lost, lost, strict=True)], claimed)
        return tuple(sorted([*self.faults.values(), *missing], key=lambda broken: broken.sequence))

    def _missing(self, ranges: Iterable[tuple[int, int]], claimed: set[int]) -> Iterator[Broken]:
        """Numbers that nothing is left of, also not elsewhere."""
        for first, last in ranges:
            while first <= last and first in claimed:
                first += 1
            while first <= last and last in claimed:
                last -= 1
            if first <= last and last <= (self.head or last):
                fault = Tampering.CUT_OFF if last == self.head else Tampering.REMOVED
                yield Broken(first, fault, "Nothing is left of it.", last if last > first else None)

    def _homes(self) -> dict[int, int | None]:
        """For each misfit the place that its hash was made for, if that is near another or empty."""
        near = {number for place in self.misfits for number in (place - 1, place, place + 1)}
        candidates = sorted(near | self._empty())
        homes: dict[int, int | None] = {}
        for place, event in self.misfits.items():
            fits = (n for n in candidates if event_hash({**event, "sequence": n}) == event["hash"])
            homes[place] = next(fits, None)
        return homes

    def _empty(self) -> set[int]:
        """Some of the numbers without an event."""
        numbers = chain.from_iterable(range(first, last + 1) for first, last in self.gaps)
        return set(islice(numbers, MOST))

    def _tell(self, place: int, fault: Tampering, detail: str) -> None:
        self.faults.setdefault(place, Broken(place, fault, detail))
