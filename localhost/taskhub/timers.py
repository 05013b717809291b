"""Everything that happens at a later time, in one heap with one loop timer."""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

# Wall clocks get adjusted; a far deadline is looked at again at least this often.
_LONGEST_SLEEP = 60.0
_COMPACT_ABOVE = 1000

type Action = Callable[[], None]


@dataclass(order=True, slots=True)
class Deadline:
    """One entry of the heap. Cancelling leaves it there until it is due or they are too many."""

    at: float
    number: int
    action: Action | None = field(compare=False)


class Timers:
    """Calls actions when they are due, by the given clock. `fail` is told of an action's error."""

    def __init__(self, clock: Callable[[], float], fail: Callable[[BaseException], None]) -> None:
        self.now = clock
        self._fail = fail
        self._heap: list[Deadline] = []
        self._number = 0
        self._cancelled = 0
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._stopped = False

    def __len__(self) -> int:
        """How many entries the heap has."""
        return len(self._heap)

    @property
    def armed(self) -> int:
        """How many actions are still to come."""
        return len(self._heap) - self._cancelled

    def at(self, when: float, action: Action) -> Deadline:
        """Have `action` called at that time; the result is for `cancel`."""
        self._number += 1
        deadline = Deadline(when, self._number, action)
        heapq.heappush(self._heap, deadline)
        if self._handle is None or when < self._armed_for:
            self._arm()
        return deadline

    def cancel(self, deadline: Deadline) -> None:
        """The action will not be called any more."""
        if deadline.action is None:
            return
        deadline.action = None
        self._cancelled += 1
        if self._cancelled > max(_COMPACT_ABOVE, len(self._heap) // 2):
            self._heap = [kept for kept in self._heap if kept.action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def run_due(self) -> None:
        """Call what is due, in order of time."""
        while self._heap and self._heap[0].at <= self.now() and not self._stopped:
            due = heapq.heappop(self._heap)
            if due.action is None:
                self._cancelled -= 1
            else:
                action, due.action = due.action, None
                self._run(action)
        self._arm()

    def _run(self, action: Action) -> None:
        try:
            action()
        except Exception as exc:  # noqa: BLE001 - the hub's own state is in doubt: it must end
            self._fail(exc)

    def stop(self) -> None:
        """Nothing is called any more."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._heap and not self._stopped:
            self._armed_for = self._heap[0].at
            delay = min(max(0.0, self._armed_for - self.now()), _LONGEST_SLEEP)
            self._handle = asyncio.get_running_loop().call_later(delay, self.run_due)
