"""Keeps messages to one place apart, for services that refuse more than about one a second."""

import threading
import time


class Pace:
    """At most one turn in `seconds`, within this process; other processes are slowed down by the service."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when it is the caller's turn."""
        with self._lock:
            begin = max(self._next, time.monotonic())
            self._next = begin + self._seconds
        time.sleep(max(0.0, begin - time.monotonic()))
