"""`--watch`: run the host in a child process and start a new one whenever the app's files change.

A fresh process is the only reload that is always right; it needs well under a second, and what is durable is
kept. The supervisor owns the listening socket, so callers wait during a reload instead of being refused.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

from localhost.host.console import say

_PATTERNS = ("*.py", "host.json", "local.settings.json", "proxies.json")
_STOP_SECONDS = 35.0


class _AppFilter(DefaultFilter):
    """Files whose change matters: sources and settings, and what host.json's `watchFiles` adds."""

    def __init__(self, patterns: Sequence[str]) -> None:
        super().__init__()
        self._patterns = patterns

    def __call__(self, change: Change, path: str) -> bool:
        name = Path(path).name
        return super().__call__(change, path) and any(fnmatch(name, pattern) for pattern in self._patterns)


def _folders(script_root: Path) -> list[Path]:
    """The sub-folders worth watching: virtual environments and caches would cost thousands of watches."""
    ignored = set(DefaultFilter.ignore_dirs)
    return [
        folder
        for folder in script_root.iterdir()
        if folder.is_dir()
        and folder.name not in ignored
        and not folder.name.startswith(".")
        and not (folder / "pyvenv.cfg").exists()
    ]


async def _changes(script_root: Path, patterns: Sequence[str], stop: asyncio.Event) -> AsyncIterator[str]:
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    async def watch(paths: Sequence[Path], *, recursive: bool) -> None:
        chosen = _AppFilter(patterns)
        async for batch in awatch(
            *paths, watch_filter=chosen, stop_event=stop, recursive=recursive, step=100
        ):
            queue.put_nowait(Path(min(path for _, path in batch)).name)
        queue.put_nowait(None)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch([script_root], recursive=False))
        if folders := _folders(script_root):
            group.create_task(watch(folders, recursive=True))
        while (name := await queue.get()) is not None:
            yield name


async def supervise(
    listener: socket.socket, arguments: Sequence[str], script_root: Path, patterns: Sequence[str]
) -> int:
    """Keep a host running on `listener` until SIGINT or SIGTERM; the exit code of the last child."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    child = await _Child.start(listener, arguments)
    async for name in _changes(script_root, (*_PATTERNS, *patterns), stop):
        say(f"{name} has changed; the host restarts.")
        await child.stop()
        child = await _Child.start(listener, arguments)
    return await child.stop()


class _Child:
    """A host process, which stops when its pipe is closed: by `stop`, or because the supervisor has ended."""

    def __init__(self, process: asyncio.subprocess.Process, pipe: int) -> None:
        self._process = process
        self._pipe = pipe
        self._stopping = False
        self._watched = asyncio.create_task(self._announce_end())

    @classmethod
    async def start(cls, listener: socket.socket, arguments: Sequence[str]) -> "_Child":
        """Start a host on a listening socket that stays open here."""
        theirs, ours = os.pipe()
        handles = (listener.fileno(), theirs)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "localhost", "start", *arguments),
            *("--listen-fd", str(handles[0]), "--supervisor-fd", str(handles[1])),
            pass_fds=handles,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # Ctrl-C reaches the whole terminal group; the child must hear of it only from here.
            start_new_session=True,
        )
        os.close(theirs)
        return cls(process, ours)

    async def stop(self) -> int:
        """Let the host drain and end; its exit code."""
        self._stopping = True
        os.close(self._pipe)
        try:
            return await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    async def _announce_end(self) -> None:
        await self._process.wait()
        if not self._stopping:
            say("The host has ended. It starts again when a file of the app changes.")
