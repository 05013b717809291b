"""The process that measures one engine for one round: asked and answered in JSON."""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.measuring import Amounts, Engine, measure
from benchmarks.peers.sink import Sink


@dataclass(frozen=True)
class Place:
    """Where an engine keeps what it needs. `variant` says which way of using it is meant.

    Both databases are new and its own; `folder` is empty. `services` is for the product only.
    """

    database_url: str = field(repr=False)
    sink_url: str = field(repr=False)
    folder: Path
    variant: str = ""
    services: dict[str, Any] = field(default_factory=dict, repr=False)


type Opening = Callable[[Place], AbstractContextManager[Engine]]


def drive(opening: Opening) -> None:
    """Do what standard input asks for."""
    given = json.load(sys.stdin)
    # Ended politely, end politely: servers and workers are ours to stop.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(1))
    answer = _private_output()
    amounts = Amounts(**given["amounts"])
    place = Place(**{**given["place"], "folder": Path(given["place"]["folder"])})
    with Sink(place.sink_url) as sink, opening(place) as engine:
        measured = measure(engine, sink, amounts)
    with os.fdopen(answer, "w") as out:
        json.dump(measured.to_dict(), out)
    # Threads of engines that still wait for signals would keep the process.
    os._exit(0)


def _private_output() -> int:
    """Standard output for our answer alone: engines print to it, which goes to standard error instead."""
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answer
