"""A hub that dies at named points, within one process, and is opened again from the database."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from localhost.taskhub import loading
from localhost.taskhub.batch import Batch
from localhost.taskhub.clients import Clients
from localhost.taskhub.core import Core
from localhost.taskhub.errors import HubLost
from localhost.taskhub.local import LocalConsumer
from localhost.taskhub.options import HubOptions
from localhost.taskhub.ownership import Ownership
from localhost.taskhub.reader import Reader
from localhost.taskhub.work import ActivityItem, ActivityOutcome, Dispatcher

POINTS = (
    "before commit",
    "during commit",  # written, but the hub never learns it
    "after commit",
    "turn handed out",
    "turn done",
    "activity handed out",
    "activity done",
    "batch handed out",
    "batch done",
)


class Died(Exception):
    """The process would be gone now."""


class Fate:
    """Lets the hub die when a point has been passed a number of times."""

    def __init__(self, point: str, passes: int) -> None:
        self.point = point
        self._left = passes
        self.died = asyncio.Event()

    def passing(self, point: str) -> None:
        """Dies here, if this is the time. Whoever is dead does nothing more."""
        if point == self.point:
            self._left -= 1
            if self._left <= 0:
                self.died.set()
        if self.died.is_set():
            raise Died


class MortalStore:
    """Writes to the database until the hub dies."""

    def __init__(self, ownership: Ownership, fate: Fate) -> None:
        self._ownership = ownership
        self._fate = fate

    async def commit(self, changes: Batch) -> None:
        """See journal.Store."""
        await self._ownership.commit(changes)
        self._fate.passing("during commit")


class MortalDispatcher:
    """Runs work until the hub dies: before the work, or after it but before the hub has the answer."""

    def __init__(self, inner: Dispatcher, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate
        self._unfinished: list[asyncio.Future[Any]] = []
        self._over = False

    async def orchestrate(self, name: str, request: bytes) -> bytes:
        """See Dispatcher."""
        return await self._guard("turn", self._inner.orchestrate(name, request))

    async def run_activity(self, item: ActivityItem) -> ActivityOutcome:
        """See Dispatcher."""
        return await self._guard("activity", self._inner.run_activity(item))

    async def run_entity_batch(self, name: str, request: bytes) -> bytes:
        """See Dispatcher."""
        return await self._guard("batch", self._inner.run_entity_batch(name, request))

    async def _guard[T](self, kind: str, work: Coroutine[Any, Any, T]) -> T:
        never: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._unfinished.append(never)
        if self._over:
            never.cancel()
        answer = None
        try:
            self._fate.passing(f"{kind} handed out")
            answer = await work
            self._fate.passing(f"{kind} done")
        except Died:
            if answer is None:
                work.close()
            return await never
        return answer

    def forget(self) -> None:
        """End what will never end."""
        self._over = True
        for never in self._unfinished:
            never.cancel()


class Lives:
    """One hub through all its lives: the connection stays, everything in memory is lost each time."""

    def __init__(self, ownership: Ownership, reader: Reader, dispatcher: Dispatcher) -> None:
        self._ownership = ownership
        self._reader = reader
        self._dispatcher = dispatcher
        self.deaths: Counter[str] = Counter()

    @classmethod
    async def open(cls, url: str, name: str, dispatcher: Dispatcher) -> "Lives":
        """Own the hub."""
        ownership = await Ownership.take(url, name, HubOptions())
        return cls(ownership, await Reader.open(url, ownership.hub, 2), dispatcher)

    async def close(self) -> None:
        """Give the hub up."""
        await self._reader.close()
        await self._ownership.release()

    async def live(self, fate: Fate, client: Callable[[Clients], Awaitable[Any]]) -> bool:
        """Open the hub and let `client` act until it is done, or the hub dies; whether it was done."""
        loaded = await loading.load(self._ownership.connection, self._ownership.hub)
        failures: list[HubLost] = []
        core = Core(
            MortalStore(self._ownership, fate),
            self._reader,
            loaded,
            HubOptions(probe=fate.passing),
            failures.append,
        )
        dispatcher = MortalDispatcher(self._dispatcher, fate)
        consumer = LocalConsumer(core, dispatcher, asyncio.get_running_loop())
        core.dispatch.attach(consumer)
        acting = asyncio.ensure_future(client(Clients(core, self._reader)))
        dying = asyncio.ensure_future(fate.died.wait())
        await asyncio.wait([acting, dying], return_when=asyncio.FIRST_COMPLETED, timeout=30)
        done = acting.done() and not fate.died.is_set()
        core.abandon()
        dispatcher.forget()
        for waiting in (acting, dying):
            waiting.cancel()
            with suppress(asyncio.CancelledError, HubLost):
                await waiting
        if not done:
            assert fate.died.is_set(), f"the hub is stuck: {failures}"
            self.deaths[fate.point] += 1
        return done


def random_fate(choice: random.Random) -> Fate:
    """Some point, soon."""
    return Fate(choice.choice(POINTS), choice.randint(1, 5))
