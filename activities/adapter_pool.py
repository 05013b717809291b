"""Adapters are kept for the next step that works with the same connector.

Building one reads the connector's settings, and its first call connects and signs in: that costs more than
most calls. An adapter serves one step at a time. It is not kept after an error that may lie in its
connections, and never longer than credentials may be.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from activities.hearing import Hearing
from activities.lent import Lent
from adapters.contract import Adapter, Connector
from kernel.errors import SluiceError

IDLE_SECONDS = 60.0
AGE_SECONDS = 300.0
MOST_IDLE = 4


@dataclass
class _Kept:
    adapter: Adapter
    key: str
    identity: str
    made: float
    idle_since: float = 0.0


class AdapterPool:
    """The adapters of a process, made by `make`. One instance serves many threads.

    At most `most` of a connector wait for work: for `idle` seconds, and until they are `age` seconds old.
    """

    def __init__(
        self,
        make: Callable[[Connector], Adapter],
        *,
        idle: float = IDLE_SECONDS,
        age: float = AGE_SECONDS,
        most: int = MOST_IDLE,
    ) -> None:
        self.make = make
        self._idle, self._age, self._most = idle, age, most
        self._lock = threading.Lock()
        self._waiting: dict[str, list[_Kept]] = {}
        self._sweeper: threading.Timer | None = None

    @contextmanager
    def lend(self, connector: Connector, hearing: Hearing) -> Iterator[Adapter]:
        """An adapter for one use, a kept one if its settings are still the connector's. What it says is heard
        by `hearing`. Raises as `make` does."""
        kept = self._take(connector)
        lent, expected = Lent(kept.adapter, hearing), False
        try:
            yield lent
            expected = True
        except SluiceError:
            expected = True
            raise
        finally:
            self._give_back(kept, fit=lent.returned() and expected)

    def close(self) -> None:
        """Close those that wait for work, and keep none any more."""
        with self._lock:
            self._most = 0
            gone = [kept for waiting in self._waiting.values() for kept in waiting]
            self._waiting.clear()
            if self._sweeper is not None:
                self._sweeper.cancel()
        _close(gone)

    def _take(self, connector: Connector) -> _Kept:
        identity, now = _identity(connector), time.monotonic()
        with self._lock:
            waiting = self._waiting.pop(connector.key, [])
            fit = [kept for kept in waiting if kept.identity == identity and not self._is_over(kept, now)]
            gone = [kept for kept in waiting if kept not in fit]
            found = fit.pop() if fit else None
            if fit:
                self._waiting[connector.key] = fit
        _close(gone)
        return found or _Kept(self.make(connector), connector.key, identity, now)

    def _give_back(self, kept: _Kept, *, fit: bool) -> None:
        kept.idle_since = now = time.monotonic()
        with self._lock:
            waiting = self._waiting.get(kept.key, [])
            keep = fit and len(waiting) < self._most and not self._is_over(kept, now)
            if keep:
                self._waiting[kept.key] = [*waiting, kept]
                self._sweep_later()
        if not keep:
            _close([kept])

    def _is_over(self, kept: _Kept, now: float) -> bool:
        return now - kept.idle_since >= self._idle or now - kept.made >= self._age

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = threading.Timer(self._idle, self._sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _sweep(self) -> None:
        now, gone = time.monotonic(), list[_Kept]()
        with self._lock:
            for key, waiting in list(self._waiting.items()):
                gone += [kept for kept in waiting if self._is_over(kept, now)]
                self._waiting[key] = [kept for kept in waiting if not self._is_over(kept, now)]
            self._waiting = {key: waiting for key, waiting in self._waiting.items() if waiting}
            self._sweeper = None
            if self._waiting:
                self._sweep_later()
        _close(gone)


def _identity(connector: Connector) -> str:
    """All that an adapter is built from."""
    parts = [connector.system, connector.settings, connector.secrets, connector.environment]
    return json.dumps(parts, sort_keys=True, default=repr)


def _close(kept: Sequence[_Kept]) -> None:
    for one in kept:
        one.adapter.close()
