"""Waiting for something that happens in its own time, with a deadline instead of a guess."""

import time
from collections.abc import Callable

_POLL = 0.02


def eventually[T](probe: Callable[[], T | None], *, within: float = 10, what: str) -> T:
    """The first truthy answer of `probe`. Fails the test, naming `what`, after `within` seconds without."""
    deadline = time.monotonic() + within
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {within} s: {what} (last answer: {answer!r})")
        time.sleep(_POLL)
