"""A process that runs the workload in a hub and kills itself at a named point: see test_crashes.

python -m tests.taskhub.mortal URL HUB EFFECTS POINT PASSES
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path

from localhost.taskhub.clients import Clients, finished
from localhost.taskhub.errors import InstanceExists
from localhost.taskhub.hub import TaskHub
from localhost.taskhub.options import HubOptions
from localhost.taskhub.starts import NewInstance
from localhost.taskhub.work import ActivityItem, ActivityOutcome, Dispatcher
from tests.support.sdk_dispatcher import SdkDispatcher
from tests.taskhub import workload


class Suicide:
    """Kills the process when a point has been passed a number of times."""

    def __init__(self, point: str, passes: int) -> None:
        self._point = point
        self._left = passes

    def passing(self, point: str) -> None:
        """Perhaps the end."""
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class DeadlyDispatcher:
    """Passes the points around each piece of work."""

    def __init__(self, inner: Dispatcher, end: Suicide) -> None:
        self._inner = inner
        self._end = end

    async def orchestrate(self, name: str, request: bytes) -> bytes:
        """See Dispatcher."""
        return await self._pass("turn", self._inner.orchestrate(name, request))

    async def run_activity(self, item: ActivityItem) -> ActivityOutcome:
        """See Dispatcher."""
        return await self._pass("activity", self._inner.run_activity(item))

    async def run_entity_batch(self, name: str, request: bytes) -> bytes:
        """See Dispatcher."""
        return await self._pass("batch", self._inner.run_entity_batch(name, request))

    async def _pass[T](self, kind: str, work: Awaitable[T]) -> T:
        self._end.passing(f"{kind} handed out")
        answer = await work
        self._end.passing(f"{kind} done")
        return answer


async def main(url: str, name: str, effects: Path, end: Suicide) -> None:
    """Start or go on with the workload; print its result."""
    dispatcher = SdkDispatcher()
    with effects.open("a") as file:

        def record(step: str) -> None:
            file.write(f"{step}\n")
            file.flush()

        workload.register(dispatcher, workload.Effects(record))
        hub = await TaskHub.open(url, name, options=HubOptions(probe=end.passing))
        asyncio.get_running_loop().call_later(0, _interrupt_a_commit, hub, end)
        await hub.attach(DeadlyDispatcher(dispatcher, end))
        clients = Clients(hub.core, hub.reader)
        with suppress(InstanceExists):  # an earlier life may have started it
            await clients.start(NewInstance(id="w", name="whole"), frozenset())
        for number in range(workload.EVENTS):  # those that an earlier life sent come again
            await clients.raise_event("w", "number", str(number))
        ended = await clients.wait("w", finished)
        assert ended is not None
        print(json.loads(json.dumps(ended[0].output.value)))
        await hub.close()


def _interrupt_a_commit(hub: TaskHub, end: Suicide) -> None:
    """Pass "during commit" while the database is at work on a batch."""
    end.passing("during commit")
    asyncio.get_running_loop().call_later(0.002, _interrupt_a_commit, hub, end)


if __name__ == "__main__":
    _, given_url, given_name, given_effects, given_point, given_passes = sys.argv
    fate = Suicide(given_point, int(given_passes))
    asyncio.run(main(given_url, given_name, Path(given_effects), fate))
