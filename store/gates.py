"""Concurrency gates: how many steps, in all processes, work with one connector at once.

Whoever works holds a slot, on lease: when its process dies, the slot is free again once the lease is over.
The storage service decides who is first, and its clock alone says when a lease is over, so the machines'
clocks do not matter. What is assumed: that the account's own servers agree within a second, and that holders
look after their slot (`Slot.keep`) at least twice in a lease.
"""

import logging
import random
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from kernel.errors import Busy, Transient, Unavailable
from kernel.ids import new_id
from kernel.secrets import Secret
from store.slots import SlotRow, SlotTable

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=5)
"""Longer than one call takes, with the adapters' own time limits."""
LOOK_EVERY = 10.0
"""For so many seconds a process trusts that nobody is beyond the limit of a gate."""
_TRIES = 5


class Slot:
    """Somebody's place inside. This one is where there is no gate: it needs no care."""

    def keep(self) -> None:
        """Renew the lease once half of it is over; to be called between pages and between batches.

        Raises `Transient` when the lease ran out and the slot was given to someone else.
        """


class Gates:
    """The gates of a deployment. `lease` is after how long without a sign of its holder a slot is free."""

    def __init__(self, connection: Secret, lease: timedelta = LEASE) -> None:
        self._table = SlotTable(connection)
        self._lease = lease.total_seconds()
        self._within: dict[str, tuple[int, float]] = {}

    def ensure_table(self) -> None:
        """Create the table if it is missing. Raises `Unavailable`."""
        self._table.ensure()

    @contextmanager
    def enter(self, connector: str, environment: str, limit: int | None) -> Iterator[Slot]:
        """Hold one of `limit` slots. Without a limit there is no gate, and no service is asked.

        Raises `Busy` when all slots are taken, and `Unavailable`. When the limit was lowered, nobody comes in
        before fewer than the new limit are inside.
        """
        if limit is None:
            yield Slot()
            return
        slot = self._take(connector, f"{environment}:{connector}", limit)
        try:
            yield slot
        finally:
            slot.leave()

    def _take(self, connector: str, gate: str, limit: int) -> "_Held":
        started = time.monotonic()
        wanted = SlotRow(gate, random.randrange(limit), new_id().hex, self._lease)  # noqa: S311 - not secret
        row = self._table.insert(wanted) if self._knows(gate, limit) else None
        row = row or self._choose(wanted, limit)
        if row is None:
            raise Busy(
                f"{limit} steps work with {connector!r} at this moment, as many as its `concurrency` allows."
            )
        return _Held(self._table, connector, row, started)

    def _knows(self, gate: str, limit: int) -> bool:
        """Whether any free slot may be taken: nobody is beyond the limit, as far as was seen lately."""
        seen, at = self._within.get(gate, (0, 0.0))
        return seen == limit and time.monotonic() - at < LOOK_EVERY

    def _choose(self, wanted: SlotRow, limit: int) -> SlotRow | None:
        """Look at the whole gate, once, and take a slot that is free."""
        look = self._table.look(wanted.gate)
        rows = {row.number: row for row in look.rows}
        held = {row.number for row in look.rows if look.at is None or not row.is_over(look.at)}
        if all(number < limit for number in held):
            self._within[wanted.gate] = limit, time.monotonic()
        for row in look.rows:
            if row.holder == wanted.holder:
                return row  # only the answer to our insert was lost
        free = open_slots(held, limit)
        for number in random.sample(free, min(_TRIES, len(free))):
            mine, left = replace(wanted, number=number), rows.get(number)
            taken = self._table.replace(replace(mine, etag=left.etag)) if left else self._table.insert(mine)
            if taken:
                return taken
        return None


def open_slots(held: Set[int], limit: int) -> list[int]:
    """Which slots may be taken.

    Those beyond the limit (it was higher) are inside too: for each of them the last free slot stays free.
    Everyone leaves out the same ones, so however many look at once, no more than the limit come to be inside.
    """
    beyond = sum(1 for number in held if number >= limit)
    free = [number for number in range(limit) if number not in held]
    return free[: max(0, len(free) - beyond)]


class _Held(Slot):
    """A slot of a gate, ours until we leave or our lease is over."""

    def __init__(self, table: SlotTable, connector: str, row: SlotRow, since: float) -> None:
        self._table = table
        self._connector = connector
        self._row = row
        self._since = since

    def keep(self) -> None:
        """See `Slot.keep`. That the service does not answer matters only when the lease is over."""
        now = time.monotonic()
        if now - self._since < self._row.lease / 2:
            return
        try:
            renewed = self._table.replace(self._row)
        except Unavailable:
            if now - self._since < self._row.lease:
                return
            raise
        if renewed is None:
            raise Transient(
                f"One call to {self._connector!r} took longer than the {self._row.lease:g} seconds for which "
                "a place in its gate is kept, and another step works there now. Have a call do less (smaller "
                "pages or batches), or raise SLUICE_GATE_LEASE."
            )
        self._row, self._since = renewed, now

    def leave(self) -> None:
        """Free the slot. If that fails, it is free when the lease is over: what was done stands."""
        try:
            ours = self._table.delete(self._row)
        except Unavailable:
            ours = False
        if not ours:
            logger.warning("slot not freed", extra={"connector": self._connector})
