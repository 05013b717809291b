"""A task hub: open it, serve it, attach a dispatcher, close it."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from localhost.taskhub import loading
from localhost.taskhub.core import Core
from localhost.taskhub.endpoint import Endpoint
from localhost.taskhub.errors import HubLost
from localhost.taskhub.local import LocalConsumer
from localhost.taskhub.loop_thread import LoopThread
from localhost.taskhub.options import HubOptions
from localhost.taskhub.ownership import Ownership
from localhost.taskhub.reader import Reader
from localhost.taskhub.work import Dispatcher

_DRAIN_SECONDS = 30.0


class TaskHub:
    """One open hub. All state is in PostgreSQL; opening it again resumes everything.

    `lost` is a future on the loop that opened the hub. It gets a HubLost when the hub can no longer write,
    for example because its database connection is gone: nothing is dispatched or answered any more, and the
    process should end. It stays open while all is well, and is cancelled by `close`.
    """

    def __init__(self, parts: "_Parts", thread: LoopThread | None, lost: asyncio.Future[None]) -> None:
        self._parts = parts
        self._thread = thread
        self.lost = lost

    @classmethod
    async def open(
        cls,
        database_url: str,
        hub_name: str,
        dispatcher: Dispatcher | None = None,
        options: HubOptions | None = None,
    ) -> "TaskHub":
        """Take ownership of the hub and resume what is in it.

        `database_url` is a libpq URL whose user may create schema `taskhub` the first time. Work goes to
        `dispatcher`, and without one to workers that connect to `serve`'s address.
        Raises HubOwned if another process has the hub, HubUnavailable if the database cannot be used.
        """
        options = options or HubOptions()
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[None] = loop.create_future()
        # A hub that is lost while nobody looks is not an error of the event loop's.
        lost.add_done_callback(lambda future: future.cancelled() or future.exception())

        def report(error: HubLost) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: there is nobody to tell
                loop.call_soon_threadsafe(_lose, lost, error)

        thread = LoopThread("taskhub") if options.own_thread else None
        parts = _Parts(report)
        opening = parts.open(database_url, hub_name, options)
        try:
            await (thread.run(opening) if thread else opening)
        except BaseException:
            if thread is not None:
                thread.stop()
            raise
        hub = cls(parts, thread, lost)
        if dispatcher is not None:
            await hub.attach(dispatcher)
        return hub

    async def attach(self, dispatcher: Dispatcher) -> None:
        """Give all work to `dispatcher`, whose methods will be called on the running loop."""
        await self._run(self._parts.attach(dispatcher, asyncio.get_running_loop()))

    async def serve(self, port: int = 0) -> str:
        """Answer clients and workers over gRPC; the address as host:port."""
        return await self._run(self._parts.serve(port))

    async def close(self, drain_seconds: float = _DRAIN_SECONDS) -> None:
        """Dispatch nothing new, wait for what runs, commit everything, give the hub up.

        Work that has not ended after `drain_seconds` is left to run again at the next opening.
        """
        await self._run(self._parts.close(drain_seconds))
        if self._thread is not None:
            self._thread.stop()
        self.lost.cancel()

    async def abandon(self) -> None:
        """Drop everything at once and write nothing more, as if the process had been killed. For tests."""
        await self._run(self._parts.abandon())
        if self._thread is not None:
            self._thread.stop()
        self.lost.cancel()

    @property
    def core(self) -> Core:
        """The parts inside, which belong to the hub's own loop. For tests and measurements."""
        return self._parts.core

    @property
    def reader(self) -> Reader:
        """What reads finished instances. For tests and measurements."""
        return self._parts.reader

    @property
    def backend_pid(self) -> int:
        """The server process that holds the hub's lock."""
        return self._parts.ownership.connection.get_server_pid()

    async def _run[T](self, work: Coroutine[Any, Any, T]) -> T:
        return await (self._thread.run(work) if self._thread else work)


def _lose(lost: asyncio.Future[None], error: HubLost) -> None:
    if not lost.done():
        lost.set_exception(error)


class _Parts:
    """What lives on the hub's own loop."""

    core: Core
    ownership: Ownership
    reader: Reader

    def __init__(self, report: Any) -> None:
        self._report = report
        self._consumer: LocalConsumer | None = None
        self._endpoint: Endpoint | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self, url: str, name: str, options: HubOptions) -> None:
        self.ownership = await Ownership.take(url, name, options)
        try:
            self.reader = await Reader.open(url, self.ownership.hub, options.read_connections)
            loaded = await loading.load(self.ownership.connection, self.ownership.hub)
            self.core = Core(self.ownership, self.reader, loaded, options, self._lost)
            self.ownership.on_loss(self.core.fail)
        except BaseException:
            await self.ownership.release()
            raise

    async def attach(self, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop) -> None:
        self._consumer = LocalConsumer(self.core, dispatcher, loop)
        self.core.dispatch.attach(self._consumer)

    async def serve(self, port: int) -> str:
        self._endpoint = await Endpoint.open(self.core, self.reader, port)
        return self._endpoint.address

    async def close(self, drain_seconds: float) -> None:
        self.core.dispatch.stop()
        if self._consumer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._consumer.idle(), drain_seconds)
        # Functions that were still running may have been clients too: only now nobody is left to serve.
        if self._endpoint is not None:
            await self._endpoint.close()
        await self.core.close()
        await self.reader.close()
        await self.ownership.release()

    async def abandon(self) -> None:
        self.core.abandon()
        self.ownership.terminate()
        await self._end()

    def _lost(self, error: HubLost) -> None:
        # Clients would wait for ever: break them off, and let nobody else ask.
        self._closing = asyncio.get_running_loop().create_task(self._end())
        self._report(error)

    async def _end(self) -> None:
        if self._endpoint is not None:
            await self._endpoint.close()
        await self.reader.close()
