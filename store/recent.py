"""Sealed bytes that this process has just stored and is likely to need again."""

import threading
from collections import OrderedDict

MOST_BYTES = 16_000_000
LARGEST_BYTES = 1_000_000


class Recent:
    """The last of what was stored, by name, up to a number of bytes. One instance serves many threads.

    What is taken is not kept: whoever needs it once more reads what is stored, which another process may have
    replaced meanwhile.
    """

    def __init__(self, most: int = MOST_BYTES, largest: int = LARGEST_BYTES) -> None:
        self._most, self._largest = most, largest
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def put(self, name: str, data: bytes) -> None:
        """Keep these bytes, unless they are too many; the oldest make room."""
        with self._lock:
            self._drop(name)
            if len(data) <= min(self._largest, self._most):
                self._kept[name] = data
                self._bytes += len(data)
            while self._bytes > self._most:
                self._drop(next(iter(self._kept)))

    def take(self, name: str) -> bytes | None:
        """The bytes, which are forgotten by that; `None` when they are not here."""
        with self._lock:
            return self._drop(name)

    def _drop(self, name: str) -> bytes | None:
        data = self._kept.pop(name, None)
        self._bytes -= len(data or b"")
        return data
