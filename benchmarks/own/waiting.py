"""How runs of this engine wait for a person, and how they are let go: the one place to change."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg

from benchmarks.own.definitions import WAIT

if TYPE_CHECKING:
    from benchmarks.own.engine import Sluice

_REASON = {"reason": "benchmark"}


class Waiting:
    """Runs that an operator has paused. To be there when that happens they wait for another attempt of their
    push, whose system is closed meanwhile; all their steps are done again after the signal."""

    def __init__(self, engine: "Sluice", sink_url: str) -> None:
        self._engine = engine
        self._sink_url = sink_url
        self._runs: dict[str, str] = {}

    def suspend_all(self, units: Sequence[str]) -> None:
        """Start runs that find their system busy and wait for it; pause them; open the system."""
        self._close_gate(True)
        for unit, run in zip(units, self._engine.many(self._begin, units), strict=True):
            self._runs[unit] = run
        self._engine.await_waits(WAIT, len(units))
        self._engine.many(self._pause, units)
        self._engine.await_states(WAIT, "SUSPENDED", len(units))
        self._close_gate(False)

    def signal(self, unit: str) -> None:
        """Resume one."""
        self._engine.call("POST", f"runs/{self._runs[unit]}/resume", _REASON, 202)

    def _begin(self, unit: str) -> str:
        return self._engine.begin(WAIT, {"unit": unit})

    def _pause(self, unit: str) -> None:
        self._engine.call("POST", f"runs/{self._runs[unit]}/pause", _REASON, 202)

    def _close_gate(self, closed: bool) -> None:
        with psycopg.connect(self._sink_url, autocommit=True) as connection:
            connection.execute("UPDATE gate SET closed = %s", [closed])
