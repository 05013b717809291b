"""A hub's core over the real database, driven step by step: the test does the work and lets time pass."""

import asyncio
from collections.abc import Callable
from typing import Any

from localhost.taskhub import loading
from localhost.taskhub.batch import Batch
from localhost.taskhub.clients import Clients
from localhost.taskhub.core import Core
from localhost.taskhub.dispatch import ACTIVITY, KINDS, TURN, Work
from localhost.taskhub.errors import HubLost
from localhost.taskhub.options import HubOptions
from localhost.taskhub.ownership import Ownership
from localhost.taskhub.reader import Reader
from tests.support.sdk_dispatcher import SdkDispatcher


class Hands:
    """A consumer that takes everything and does nothing until it is told to. See dispatch.Consumer."""

    exclusive = True

    def __init__(self, core: Core, dispatcher: SdkDispatcher) -> None:
        self.room = 1_000_000
        self._core = core
        self._dispatcher = dispatcher
        self.held: dict[str, list[tuple[Work, Any]]] = {kind: [] for kind in KINDS}
        self.requests: list[Any] = []

    def free(self, kind: str) -> bool:
        """Always, but for what a test allows."""
        return len(self.held[kind]) < self.room

    def accepts(self, work: Work) -> bool:
        """Everything."""
        return True

    def take(self, work: Work, request: Any) -> None:
        """Hold it."""
        self.held[work.kind].append((work, request))
        self.requests.append(request)

    async def do(self, kind: str, place: int = 0) -> None:
        """Do one piece of work that is held."""
        work, request = self.held[kind].pop(place)
        answer: Any
        if kind == TURN:
            answer = await self._dispatcher.orchestrate(work.name, request)
        elif kind == ACTIVITY:
            answer = await self._dispatcher.run_activity(request)
        else:
            answer = await self._dispatcher.run_entity_batch(work.name, request)
        self._core.done(work, answer)
        self._core.dispatch.wake()

    def answer(self, kind: str, answer: Any) -> None:
        """Settle the first that is held with this answer."""
        work, _ = self.held[kind].pop(0)
        self._core.done(work, answer)
        self._core.dispatch.wake()


class GatedStore:
    """Commits when the gate is open."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        self.gate = asyncio.Event()
        self.gate.set()
        self.commits = 0

    async def commit(self, changes: Batch) -> None:
        """See journal.Store."""
        await self.gate.wait()
        await self._ownership.commit(changes)
        self.commits += 1


class Bench:
    """A core with hands and a clock that stands still."""

    def __init__(self, ownership: Ownership, reader: Reader, dispatcher: SdkDispatcher) -> None:
        self._ownership = ownership
        self._reader = reader
        self._dispatcher = dispatcher
        self.store = GatedStore(ownership)
        self.now = 1_800_000_000.0
        self.failures: list[HubLost] = []

    @classmethod
    async def open(cls, url: str, name: str, register: Callable[[SdkDispatcher], None]) -> "Bench":
        """Own the hub and load it."""
        ownership = await Ownership.take(url, name, HubOptions())
        dispatcher = SdkDispatcher()
        register(dispatcher)
        bench = cls(ownership, await Reader.open(url, ownership.hub, 2), dispatcher)
        await bench.load()
        return bench

    async def load(self) -> None:
        """A new core from what the database has."""
        loaded = await loading.load(self._ownership.connection, self._ownership.hub)
        options = HubOptions(clock=lambda: self.now)
        self.core = Core(self.store, self._reader, loaded, options, self.failures.append)
        self.hands = Hands(self.core, self._dispatcher)
        self.core.dispatch.attach(self.hands)
        self.clients = Clients(self.core, self._reader)

    async def crash(self) -> None:
        """Lose everything in memory."""
        self.core.abandon()
        await self.load()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and what is due happen."""
        self.now += seconds
        self.core.timers.run_due()
        await self.settle()

    async def settle(self) -> None:
        """Until everything is durable and handed out."""
        await self.core.journal.durable()
        for _ in range(3):
            await asyncio.sleep(0)
        await self.core.journal.durable()
        assert not self.failures, self.failures

    async def work_off(self) -> None:
        """Do everything there is to do."""
        await self.settle()
        while any(self.hands.held.values()):
            for kind in KINDS:
                while self.hands.held[kind]:
                    await self.hands.do(kind)
            await self.settle()

    async def close(self) -> None:
        """Give the hub up."""
        self.core.abandon()
        await self._reader.close()
        await self._ownership.release()
