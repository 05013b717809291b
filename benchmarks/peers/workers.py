"""Worker processes of engines that execute elsewhere than where runs are started."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.driving import Place

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.02
_WATCH_SECONDS = 1.0


class NotReady(Exception):
    """Something that was started does not come up."""


@contextmanager
def worker_processes(module: str, place: Place, arguments: Sequence[str]) -> Iterator[list[int]]:
    """One process of `module` for each argument, ready to work; ended at the end. See `as_worker`."""
    processes: list[subprocess.Popen[bytes]] = []
    given = {"database_url": place.database_url, "sink_url": place.sink_url, "variant": place.variant}
    try:
        for number, argument in enumerate(arguments):
            ready = place.folder / f"ready-{number}"
            command = [sys.executable, "-m", module, str(ready), argument]
            process = subprocess.Popen(command, stdin=subprocess.PIPE)
            processes.append(process)
            assert process.stdin is not None
            # Addresses hold passwords: not for the command line, which others can see.
            process.stdin.write(json.dumps({**given, "folder": str(place.folder)}).encode())
            process.stdin.close()
            wait_until(ready.exists, f"a worker of {module} is ready")
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def as_worker() -> tuple[Place, Path, list[str]]:
    """In such a process: the place, the file to make when ready, the argument. It ends with its parent."""
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    given = json.load(sys.stdin)
    return Place(**{**given, "folder": Path(given["folder"])}), Path(sys.argv[1]), sys.argv[2:]


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def wait_until(probe: Callable[[], bool], what: str, within: float = _READY_SECONDS) -> None:
    """Return when `probe` holds. Raises `NotReady`, naming `what`."""
    deadline = time.monotonic() + within
    while not probe():
        if time.monotonic() > deadline:
            raise NotReady(f"Not within {within:.0f} s: {what}.")
        time.sleep(_POLL_SECONDS)
