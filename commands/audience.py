"""What all who watch runs in this process share: a few places to wait in, and what was counted last."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

LEAST_AGE = 1.0
"""Seconds for which a count is good enough."""
SHARE = 20
"""Counting may take one part in so many of the time."""
_REMEMBERED = 256


class Audience:
    """One instance serves many threads.

    Whoever waits occupies a thread of the pool that also runs activities, so that few may: by default two,
    of at least five threads that a worker process has.
    """

    def __init__(self, places: int = 2) -> None:
        self._places = threading.BoundedSemaphore(places)
        self._counted: OrderedDict[UUID, tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[bool]:
        """A place to wait in, if one is free."""
        taken = self._places.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._places.release()

    def counted[Count](self, run_id: UUID, count: Callable[[], Count], *, fresh: bool) -> Count:
        """What `count` says of a run, or said a moment ago; the longer it takes, the longer that is."""
        began = time.monotonic()
        with self._lock:
            good_until, known = self._counted.get(run_id, (began, None))
        if began < good_until and not fresh:
            found: Count = known
            return found
        new, now = count(), time.monotonic()
        with self._lock:
            self._counted[run_id] = (now + max(LEAST_AGE, SHARE * (now - began)), new)
            self._counted.move_to_end(run_id)
            while len(self._counted) > _REMEMBERED:
                self._counted.popitem(last=False)
        return new
