"""What can be set about a task hub."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from localhost.taskhub import statuses


def _no_probe(_point: str) -> None:
    """Called at every named point of the journal; tests let the process die there."""


@dataclass(frozen=True)
class HubOptions:
    """Settings of one hub; the defaults are those of Azure Functions.

    `replaceable` are the statuses in which an existing instance gives way to a new one of the same id, unless
    the start request has a policy of its own. `max_turns`, `max_activities` and `max_batches` bound what the
    in-process dispatcher gets at a time. `takeover_seconds` is how long to wait for a previous owner that is
    just ending. `clock` is the time in seconds since 1970.
    """

    default_version: str | None = None
    replaceable: frozenset[int] = statuses.FINISHED
    max_turns: int = 20
    max_activities: int = 20
    max_batches: int = 20
    finished_in_memory: int = 200
    takeover_seconds: float = 3.0
    read_connections: int = 3
    own_thread: bool = False
    clock: Callable[[], float] = time.time
    probe: Callable[[str], None] = _no_probe
    owner_pid: int = field(default_factory=os.getpid)
    owner_host: str = field(default_factory=socket.gethostname)
