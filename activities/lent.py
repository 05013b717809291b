"""An adapter in the hands of one step."""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

from activities.hearing import Hearing
from adapters.contract import Adapter, CheckResult, Operation, Outgoing, PushResult
from kernel.errors import CallerError, ExternalConflict, ExternalNotFound, InvalidData, SluiceError
from kernel.records import Record, Records

_ABOUT_CONTENT = (CallerError, ExternalConflict, ExternalNotFound, InvalidData, GeneratorExit)
"""What is raised by an adapter whose connections are sound."""


class Lent(Adapter):
    """A kept adapter for the time of one use: its errors come out clean (see `hearing`), and it is known
    afterwards whether it can be used again."""

    def __init__(self, adapter: Adapter, hearing: Hearing) -> None:
        self.connector, self.credentials = adapter.connector, adapter.credentials
        self._adapter, self._hearing = adapter, hearing
        self._streams: list[Generator[Records]] = []
        self._sound = True

    @classmethod
    def catalogue(cls, settings: Mapping[str, Any]) -> Mapping[str, Operation]:
        """That is for the classes of adapters; one that is lent has its `operations`."""
        raise NotImplementedError

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """The operations of this connector."""
        return self._adapter.operations

    def fetch(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Records]:
        """Pages of records. They end with the use, however few were read."""
        self._streams.append(self._pages(operation, parameters))
        return self._streams[-1]

    def lookup(self, operation: str, parameters: Mapping[str, Any]) -> Record | None:
        """As the adapter's own, like the following."""
        with self._calling():
            return self._adapter.lookup(operation, parameters)

    def push(
        self, operation: str, parameters: Mapping[str, Any], batch: Sequence[Outgoing]
    ) -> list[PushResult]:
        with self._calling():
            return self._adapter.push(operation, parameters, batch)

    def find_posted(
        self, operation: str, parameters: Mapping[str, Any], keys: Sequence[str]
    ) -> Mapping[str, str]:
        with self._calling():
            return self._adapter.find_posted(operation, parameters, keys)

    def execute(self, operation: str, parameters: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        with self._calling():
            return self._adapter.execute(operation, parameters, key)

    def check(self) -> CheckResult:
        with self._calling():
            return self._adapter.check()

    def revealed(self) -> list[str]:
        """All credentials that the kept adapter ever gave away."""
        return self._adapter.revealed()

    def returned(self) -> bool:
        """The use is over; tells whether the adapter is fit for another one."""
        for pages in self._streams:
            with suppress(SluiceError):  # its connection broke, which `_calling` has noted
                pages.close()
        return self._sound

    def _pages(self, operation: str, parameters: Mapping[str, Any]) -> Generator[Records]:
        with self._calling():
            yield from self._adapter.fetch(operation, parameters)

    @contextmanager
    def _calling(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            with self._hearing.of(self._adapter):
                yield
        except _ABOUT_CONTENT:
            raise
        except BaseException:
            self._sound = False
            raise
        finally:
            self._hearing.seconds += time.monotonic() - started
