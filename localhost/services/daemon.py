"""Server processes that outlive the process that started them."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from kernel.errors import Unavailable
from localhost.services.account import Account, run_as

_POLL = 0.01


# The shell ends at once, so that the server is nobody's child: it needs no parent to collect it later.
_DETACH = '"$@" >&2 & echo $!'


def launch(
    command: Sequence[str | Path],
    *,
    name: str,
    log: Path,
    environment: Mapping[str, str],
    account: Account | None = None,
) -> psutil.Process:
    """Start a server in a session of its own, so that neither Ctrl-C nor our end reaches it."""
    with log.open("wb") as output:
        shell = subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *command],
            cwd="/",
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            check=True,
            **run_as(account),
        )
    try:
        return psutil.Process(int(shell.stdout))
    except psutil.NoSuchProcess as exc:
        raise Unavailable(f"{name} ended while starting. {last_lines(log)}") from exc


def wait_ready(
    server: psutil.Process, ready: Callable[[], bool], *, name: str, log: Path, within: float
) -> None:
    """Return once `ready()` holds. `Unavailable`, with the last log lines, if it ends or takes too long."""
    deadline = time.monotonic() + within
    while not ready():
        if not is_alive(server):
            raise Unavailable(f"{name} ended while starting. {last_lines(log)}")
        if time.monotonic() > deadline:
            end(server, signal.SIGKILL)
            raise Unavailable(f"{name} was not ready within {within:.0f} s. {last_lines(log)}")
        time.sleep(_POLL)


def is_alive(process: psutil.Process) -> bool:
    """Whether the process still runs; one that has ended and was not collected yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(process: psutil.Process, kind: signal.Signals, *, within: float = 30) -> None:
    """Ask the process to end by this signal, and kill it if it is still there after `within` seconds."""
    try:
        process.send_signal(kind)
        if not _has_ended(process, within):
            process.kill()
            _has_ended(process, within)
    except psutil.NoSuchProcess:
        return


def _has_ended(process: psutil.Process, within: float) -> bool:
    """Wait for the end. psutil's own wait goes on while an ended process has not been collected."""
    deadline = time.monotonic() + within
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a server's log, for an error message."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return f"There is no log at {log}."
    return f"The end of {log}:\n  " + "\n  ".join(lines[-count:] or ["(empty)"])
