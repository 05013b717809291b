"""One face for every implementation of the task hub service, for tests written against client and worker."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Protocol

from durabletask.client import TaskHubGrpcClient
from durabletask.testing.in_memory_backend import InMemoryOrchestrationBackend
from durabletask.worker import TaskHubGrpcWorker

from localhost.services.ports import free_port
from localhost.taskhub.hub import TaskHub
from localhost.taskhub.loop_thread import LoopThread
from localhost.taskhub.options import HubOptions
from tests.support.sdk_dispatcher import SdkDispatcher

KINDS = ("in-process", "worker", "memory")
QUIET = logging.getLogger("tests.taskhub")
QUIET.setLevel(logging.CRITICAL)


class Backend(Protocol):
    """Something that runs orchestrations."""

    client: TaskHubGrpcClient
    address: str
    remembers_schedules: bool

    def register(self, *, orchestrators: Any = (), activities: Any = (), entities: Any = ()) -> None:
        """Make functions known and start the worker."""
        ...


def _register(worker: TaskHubGrpcWorker, orchestrators: Any, activities: Any, entities: Any) -> None:
    for orchestrator in orchestrators:
        worker.add_orchestrator(orchestrator)
    for activity in activities:
        worker.add_activity(activity)
    for entity in entities:
        worker.add_entity(entity)


class MemoryBackend:
    """durabletask's own test backend."""

    remembers_schedules = False

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        backend = InMemoryOrchestrationBackend(port=free_port())
        self.address = backend.start()
        stack.callback(backend.stop)
        self.client = _client(self.address, stack)

    def register(self, *, orchestrators: Any = (), activities: Any = (), entities: Any = ()) -> None:
        """See Backend."""
        _start_worker(self.address, self._stack, orchestrators, activities, entities)


class HubBackend:
    """Our hub, on a loop thread, with its work done in this process or by a worker on a stream."""

    remembers_schedules = True

    def __init__(
        self, stack: ExitStack, url: str, name: str, *, in_process: bool, options: HubOptions | None = None
    ) -> None:
        self.url = url
        self.name = name
        self.in_process = in_process
        self.options = options or HubOptions()
        self._stack = stack
        self._loop = LoopThread("hub under test")
        stack.callback(self._loop.stop)
        stack.callback(lambda: self.run(self.hub.close(drain_seconds=5)))
        self._threads = ThreadPoolExecutor(8)
        stack.callback(self._threads.shutdown)
        self._dispatcher = SdkDispatcher(self._threads)
        self._functions: tuple[Any, Any, Any] = ((), (), ())
        self._connections = stack.enter_context(ExitStack())
        self._open()

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the hub's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop.loop).result(60)

    def register(self, *, orchestrators: Any = (), activities: Any = (), entities: Any = ()) -> None:
        """See Backend."""
        self._functions = (orchestrators, activities, entities)
        if self.in_process:
            _register(self._dispatcher.worker, *self._functions)
            self.run(self.hub.attach(self._dispatcher))
        else:
            _start_worker(self.address, self._connections, *self._functions)

    def restart(self, stop: Callable[[TaskHub], Coroutine[Any, Any, None]] | None = None) -> None:
        """End the hub, by default as if its process had been killed, and open it again."""
        self.run((stop or TaskHub.abandon)(self.hub))
        self._connections.close()
        self._open()
        if self.in_process:
            self.run(self.hub.attach(self._dispatcher))
        elif any(self._functions):
            _start_worker(self.address, self._connections, *self._functions)

    def _open(self) -> None:
        self.hub = self.run(TaskHub.open(self.url, self.name, options=self.options))
        self.address = self.run(self.hub.serve())
        self.client = _client(self.address, self._connections)


def open_backend(
    kind: str, stack: ExitStack, url: str, name: str, options: HubOptions | None = None
) -> Backend:
    """One of KINDS, closed with the stack."""
    if kind == "memory":
        return MemoryBackend(stack)
    return HubBackend(stack, url, name, in_process=kind == "in-process", options=options)


def _client(address: str, stack: ExitStack) -> TaskHubGrpcClient:
    client = TaskHubGrpcClient(host_address=address, logger=QUIET)
    stack.callback(client.close)
    return client


def _start_worker(address: str, stack: ExitStack, *functions: Any) -> None:
    worker = TaskHubGrpcWorker(host_address=address, logger=QUIET)
    _register(worker, *functions)
    worker.start()  # type: ignore[no-untyped-call]
    # A worker takes a second to stop: nobody waits for that but the end of the process.
    stack.callback(threading.Thread(target=worker.stop).start)
