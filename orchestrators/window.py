"""Sub-orchestrations, a bounded number at once. Deterministic."""

from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any

from durabletask.task import Task, TaskFailedError, when_all, when_any

type Call = Callable[[], Task[Any]]


class Window:
    """Runs `calls`, at most `width` at once, until there are no more or one of them says that it was stopped.

    Those that fail are passed over: PostgreSQL says what is left.
    """

    def __init__(self, calls: Iterable[Call], width: int) -> None:
        self._calls = iter(calls)
        self._width = width
        self._running: list[Task[Any]] = []
        self.stopped = False

    def run(self, interrupted: Task[Any] | None = None) -> Generator[Any, Any]:
        """Run them all, or until `interrupted` is complete; it may be called again after that."""
        self._fill()
        while self._running:
            watched = self._running if interrupted is None else [*self._running, interrupted]
            first = yield when_any(watched)
            if first is interrupted:
                return
            self._running.remove(first)
            self.stopped |= _was_stopped(first)
            self._fill()

    def _fill(self) -> None:
        if not self.stopped:
            room = self._width - len(self._running)
            self._running += [call() for call in islice(self._calls, room)]


def run_together(calls: Iterable[Call]) -> Generator[Any, Any, bool]:
    """Run all at once, which costs one wait; returns whether one of them says that it was stopped."""
    tasks = [call() for call in calls]
    try:
        yield when_all(tasks)
    except TaskFailedError:
        return False
    return any(_was_stopped(task) for task in tasks)


def _was_stopped(done: Task[Any]) -> bool:
    return not done.is_failed and bool(done.get_result()["stopped"])
