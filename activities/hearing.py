"""What connected systems say, cleaned of what they were told: it goes into failures, reasons and logs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from adapters.contract import Adapter, PushResult
from kernel.errors import CallerError, ExternalError
from kernel.records import Record
from kernel.redaction import Scrubber


class Hearing:
    """The words of the adapter that a step works with. Adapters must not quote credentials or record values;
    this makes sure of it. `seconds` is how long the step has listened."""

    def __init__(self) -> None:
        self._adapter: Adapter | None = None
        self._rows: Iterable[Record] = ()
        self._sensitive: frozenset[str] = frozenset()
        self.seconds = 0.0

    def hand(self, rows: Iterable[Record], sensitive: Iterable[str]) -> None:
        """From now on these records are what the adapter works with."""
        self._rows, self._sensitive = rows, frozenset(sensitive)

    @contextmanager
    def of(self, adapter: Adapter) -> Iterator[None]:
        """Errors of the adapter are raised again with clean texts."""
        self._adapter = adapter
        try:
            yield
        except (ExternalError, CallerError) as exc:
            raise self._scrubber().error(exc) from exc

    def results(self, results: Sequence[PushResult]) -> list[PushResult]:
        """The results with clean reasons."""
        if not any(result.reason for result in results):
            return list(results)
        scrubber = self._scrubber()
        return [replace(result, reason=scrubber.text(result.reason)) for result in results]

    def _scrubber(self) -> Scrubber:
        return Scrubber(self._adapter.revealed() if self._adapter else (), self._values())

    def _values(self) -> Iterator[Any]:
        for row in self._rows:
            yield from _sensitive_values(row, self._sensitive)


def _sensitive_values(row: Mapping[str, Any], sensitive: frozenset[str]) -> Iterator[Any]:
    return (row[name] for name in sensitive if name in row)
