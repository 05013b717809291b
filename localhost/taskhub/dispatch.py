"""From work that is ready to somebody who does it."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from localhost.taskhub.fair_queue import FairQueue

TURN, ACTIVITY, BATCH = "turn", "activity", "batch"
KINDS = (TURN, ACTIVITY, BATCH)


class Work(Protocol):
    """Something ready to be done, for example a turn of one instance."""

    @property
    def kind(self) -> str:
        """TURN, ACTIVITY or BATCH."""
        ...

    @property
    def root(self) -> str:
        """The tree it belongs to, for fairness."""
        ...

    @property
    def name(self) -> str:
        """The function that does it."""
        ...

    @property
    def version(self) -> str:
        """The version it asks for, or an empty string."""
        ...

    def begin(self) -> Any:
        """The request: bytes, or an ActivityItem. None if there is nothing to do any more."""
        ...

    def finish(self, answer: Any) -> None:
        """It is done: encoded answer, or ActivityOutcome."""
        ...

    def abandon(self) -> None:
        """It was not done after all: somebody else shall do it."""
        ...


class Consumer(Protocol):
    """Who does work: this process, or a worker at the other end of a stream."""

    @property
    def exclusive(self) -> bool:
        """Whether work it accepts is for nobody else, even while it is busy."""
        ...

    def free(self, kind: str) -> bool:
        """Whether it can take one more of this kind now."""
        ...

    def accepts(self, work: Work) -> bool:
        """Whether it has the function."""
        ...

    def take(self, work: Work, request: Any) -> None:
        """Do it, and call `finish` or `abandon` on the hub's loop."""
        ...


class Dispatch:
    """Ready work by kind, fairly handed out to the consumers. `fail` is told of errors of the hub's own."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._queues: dict[str, FairQueue[Work]] = {kind: FairQueue() for kind in KINDS}
        self._unwanted: dict[str, list[Work]] = {kind: [] for kind in KINDS}
        self._consumers: list[Consumer] = []
        self._fail = fail
        self._scheduled = False
        self._stopped = False

    def push(self, work: Work) -> None:
        """The work is ready."""
        self._queues[work.kind].push(work.root, work)
        self.wake()

    def attach(self, consumer: Consumer) -> None:
        """One more consumer. An exclusive one is asked first."""
        self._consumers.insert(0 if consumer.exclusive else len(self._consumers), consumer)
        self.wake()

    def detach(self, consumer: Consumer) -> None:
        """The consumer is gone."""
        self._consumers.remove(consumer)
        self.wake()

    def wake(self) -> None:
        """Hand out what there is, soon: everything that is ready by then goes together."""
        if not self._scheduled and not self._stopped:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._hand_out)

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True

    def _hand_out(self) -> None:
        self._scheduled = False
        if self._stopped:
            return
        try:
            for kind in KINDS:
                self._hand_out_kind(kind)
        except Exception as exc:  # noqa: BLE001 - the hub's own state is in doubt: it must end
            self._fail(exc)

    def _hand_out_kind(self, kind: str) -> None:
        queue, unwanted = self._queues[kind], self._unwanted[kind]
        while unwanted:
            work = unwanted.pop()
            queue.push(work.root, work)
        while queue and any(consumer.free(kind) for consumer in self._consumers):
            work = queue.pop()
            consumer = self._choose(work)
            if consumer is None:
                unwanted.append(work)
                continue
            request = work.begin()
            if request is not None:
                consumer.take(work, request)
        unwanted.reverse()

    def _choose(self, work: Work) -> Consumer | None:
        for place, consumer in enumerate(self._consumers):
            if consumer.accepts(work):
                if consumer.free(work.kind):
                    if not consumer.exclusive:  # the next one first next time
                        self._consumers.append(self._consumers.pop(place))
                    return consumer
                if consumer.exclusive:
                    return None
        return None
