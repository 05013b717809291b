"""Breaking off what takes longer than it may, with one thread for all of it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_AGAIN = 0.1
"""Seconds until it is interrupted again."""
_LINGER = 10.0
"""For so many seconds at most the thread sleeps, and is there when there is nothing to watch."""


@dataclass(frozen=True)
class _Watched:
    until: float
    interrupt: Callable[[], object]


class Watchdog:
    """Interrupts what lasts longer than `seconds`. One instance serves many threads; `name` is its thread's.

    Its own thread starts when there is something to watch, and ends soon after there is nothing more.
    """

    def __init__(self, seconds: float, name: str = "watchdog") -> None:
        self._seconds = seconds
        self._name = name
        self._changed = threading.Condition()
        self._watched: dict[int, _Watched] = {}
        self._number = 0
        self._awake = False

    @contextmanager
    def over(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Once the block is overdue, call `interrupt`, and again and again until the block ends, because a
        call between two statements breaks off neither. It is never called after the block's end."""
        number = self._begin(interrupt)
        try:
            yield
        finally:
            with self._changed:
                del self._watched[number]

    def _begin(self, interrupt: Callable[[], object]) -> int:
        with self._changed:
            self._number += 1
            self._watched[self._number] = _Watched(time.monotonic() + self._seconds, interrupt)
            if not self._awake:
                self._awake = True
                threading.Thread(target=self._watch, name=self._name, daemon=True).start()
            return self._number

    def _watch(self) -> None:
        with self._changed:
            while self._awake:
                self._changed.wait(self._look())
                self._awake = bool(self._watched)

    def _look(self) -> float:
        """Interrupt what is overdue; says after how many seconds to look again. That is never longer than
        what begins meanwhile may last, so nobody needs to wake the thread."""
        now = time.monotonic()
        for watched in self._watched.values():  # in the order in which they become overdue
            if watched.until > now:
                return min(watched.until - now, _LINGER)
            watched.interrupt()
        return min(self._seconds, _AGAIN if self._watched else _LINGER)
