"""Answers that are good for a while."""

import threading
import time
from collections.abc import Callable, Hashable


class TimedCache[Key: Hashable, Value]:
    """Remembers at most `most` values, each for `seconds`; the oldest goes first."""

    def __init__(
        self, seconds: float, most: int = 1_000, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._most, self._monotonic = seconds, most, monotonic
        self._lock = threading.Lock()
        self._values: dict[Key, tuple[float, Value]] = {}

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value, made now unless a good one is there. What `make` raises is not remembered."""
        with self._lock:
            known = self._values.get(key)
        if known is not None and self._monotonic() - known[0] < self._seconds:
            return known[1]
        made = make()
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = self._monotonic(), made
            while len(self._values) > self._most:
                del self._values[next(iter(self._values))]
        return made
