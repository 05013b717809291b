"""Worker processes for durable work: FUNCTIONS_WORKER_PROCESS_COUNT of them, each with the whole app."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import astuple
from itertools import count
from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.host.dispatcher import failed_batch, failed_turn
from localhost.host.durable import ActivityItem, ActivityOutcome
from localhost.host.frames import read_frame, write_frame

logger = logging.getLogger("host.workers")

_TRIES = 3
_RESTART_SECONDS = 1.0


class WorkerPool:
    """Implements `durable.Dispatcher` by handing each item to the process with the least to do.

    When a process dies, its items are tried again elsewhere; an item that has seen three processes die counts
    as the cause and fails.
    """

    def __init__(self, size: int, arguments: Sequence[str]) -> None:
        self._workers = [_Worker(arguments) for _ in range(size)]

    async def close(self) -> None:
        """Let every process finish what it has, then end it."""
        await asyncio.gather(*(worker.close() for worker in self._workers))

    async def orchestrate(self, name: str, request: bytes) -> bytes:
        """See `durable.Dispatcher`."""
        answer = await self._call("orchestration", name, request)
        return failed_turn(request, _process_died(name)) if answer is None else answer[0]

    async def run_entity_batch(self, name: str, request: bytes) -> bytes:
        """See `durable.Dispatcher`."""
        answer = await self._call("entity", name, request)
        return failed_batch(_process_died(name)) if answer is None else answer[0]

    async def run_activity(self, item: ActivityItem) -> ActivityOutcome:
        """See `durable.Dispatcher`."""
        answer = await self._call("activity", *astuple(item))
        if answer is None:
            return ActivityOutcome(failure=_process_died(item.name).SerializeToString())
        return ActivityOutcome(*answer)

    async def _call(self, kind: str, *arguments: Any) -> tuple[Any, ...] | None:
        for _ in range(_TRIES):
            worker = min(self._workers, key=_Worker.load)
            with contextlib.suppress(ConnectionError):
                return await worker.call(kind, arguments)
        return None


def _process_died(name: str) -> pb.TaskFailureDetails:
    return pb.TaskFailureDetails(
        errorType="WorkerProcessEnded",
        errorMessage=f"The worker process ended {_TRIES} times while it ran the function '{name}'.",
        isNonRetriable=True,
    )


class _Worker:
    """One process, started again when it ends before it is closed."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[tuple[Any, ...]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()
        self._closing = False
        self._running = asyncio.create_task(self._keep_running())

    def load(self) -> tuple[bool, int]:
        """How much it has to do; a process that is not there has most."""
        return not self._connected.is_set(), len(self._waiting)

    async def call(self, kind: str, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Have the process run an item. Raises ConnectionError if it ends before it answers."""
        await self._connected.wait()
        assert self._writer is not None
        number = next(self._numbers)
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        write_frame(self._writer, (number, kind, *arguments))
        return await answer

    async def close(self) -> None:
        """Send nothing more, which lets the process finish and end."""
        self._closing = True
        if self._writer is not None and self._connected.is_set():
            self._writer.write_eof()
        await self._running

    async def _keep_running(self) -> None:
        while not self._closing:
            process, reader = await self._start()
            await self._receive(reader)
            code = await process.wait()
            if not self._closing:
                logger.error("A worker process has ended with code %s; it is started again.", code)
                await asyncio.sleep(_RESTART_SECONDS)

    async def _start(self) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "localhost.host.worker", "--socket-fd", str(theirs.fileno())),
            *self._arguments,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._connected.set()
        if self._closing:
            self._writer.write_eof()
        return process, reader

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        """Hand answers to those who wait for them until the process ends."""
        while (message := await read_frame(reader)) is not None:
            number, *answer = message
            self._settle(number, tuple(answer))
        assert self._writer is not None
        self._connected.clear()
        self._writer.close()
        for number in list(self._waiting):
            self._settle(number, None)

    def _settle(self, number: int, answer: tuple[Any, ...] | None) -> None:
        waiting = self._waiting.pop(number)
        if waiting.done():  # nobody waits any more
            return
        if answer is None:
            waiting.set_exception(ConnectionError("The worker process has ended."))
        else:
            waiting.set_result(answer)
