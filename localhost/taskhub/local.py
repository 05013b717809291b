"""Work done in this process, by a dispatcher that may live on another loop."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from localhost.taskhub.core import Core
from localhost.taskhub.dispatch import ACTIVITY, BATCH, TURN, Work
from localhost.taskhub.work import Dispatcher

logger = logging.getLogger("taskhub.local")


class Mailbox[T]:
    """Hands items to a loop, from any thread. Items that come close together wake it once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[T], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._items: deque[T] = deque()
        self._awake = False

    def put(self, item: T) -> None:
        """Deliver the item on the loop, soon."""
        self._items.append(item)
        if not self._awake:
            self._awake = True
            self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        # Cleared first: what is put from now on may be missed by this round, so it wakes the loop again.
        self._awake = False
        while self._items:
            self._deliver(self._items.popleft())


class LocalConsumer:
    """Gives work to a dispatcher, as much at a time as the options allow. See `dispatch.Consumer`."""

    exclusive = True

    def __init__(self, core: Core, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop) -> None:
        self._core = core
        self._dispatcher = dispatcher
        options = core.options
        self._free = {
            TURN: options.max_turns,
            ACTIVITY: options.max_activities,
            BATCH: options.max_batches,
        }
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._out = Mailbox[tuple[Work, Any]](loop, self._start)
        self._back = Mailbox[tuple[Work, Any]](asyncio.get_running_loop(), self._done)
        self._handlers: dict[str, Callable[[Work, Any], Awaitable[Any]]] = {
            TURN: lambda work, request: dispatcher.orchestrate(work.name, request),
            ACTIVITY: lambda work, request: dispatcher.run_activity(request),
            BATCH: lambda work, request: dispatcher.run_entity_batch(work.name, request),
        }

    def free(self, kind: str) -> bool:
        """Whether another one of this kind may start."""
        return self._free[kind] > 0

    def accepts(self, work: Work) -> bool:
        """The app has, or fails, every function."""
        return True

    def take(self, work: Work, request: Any) -> None:
        """Run it on the dispatcher's loop."""
        self._free[work.kind] -= 1
        self._running += 1
        self._idle.clear()
        self._out.put((work, request))

    async def idle(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()

    def _start(self, item: tuple[Work, Any]) -> None:
        task = asyncio.ensure_future(self._run(*item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Work, request: Any) -> None:
        answer: Any = None
        try:
            answer = await self._handlers[work.kind](work, request)
        except Exception:  # whatever the dispatcher raises, the hub goes on
            logger.exception("The dispatcher broke down on %s '%s'; it is tried again.", work.kind, work.name)
        finally:
            with contextlib.suppress(RuntimeError):  # the hub was closed without waiting for this
                self._back.put((work, answer))

    def _done(self, item: tuple[Work, Any]) -> None:
        work, answer = item
        self._free[work.kind] += 1
        self._running -= 1
        if self._running == 0:
            self._idle.set()
        if answer is None:
            work.abandon()
        else:
            self._core.done(work, answer)
        self._core.dispatch.wake()
