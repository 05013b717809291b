"""One process at a time: a lock that ends with its holder, however that one dies."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kernel.errors import Unavailable


@contextmanager
def locked(path: Path, waiting: Callable[[], None], *, within: float = 900) -> Iterator[None]:
    """Hold the lock file `path`; `waiting` is called once if somebody else has it.

    Raises `Unavailable` after `within` seconds of waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        deadline = time.monotonic() + within
        told = False
        while not _taken(file.fileno()):
            if not told:
                waiting()
                told = True
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Another process has held {path} for {within:.0f} s: end it, then try again."
                )
            time.sleep(0.05)
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
