"""An adapter over a real one that says everything it knows whenever it says anything."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from adapters.contract import Adapter, Outgoing, PushResult, PushStatus
from kernel.errors import ExternalError, Fault, InvalidData, InvalidRequest, SluiceError, SystemUnavailable
from kernel.records import Record, Records


class How(StrEnum):
    """Where it says it."""

    WHILE_READING = "while reading"
    TRANSIENT = "transient"
    INVALID = "invalid"
    REQUEST = "request"
    CRASH = "crash"
    REJECTED = "rejected"


_ERRORS: Mapping[How, type[SluiceError]] = {
    How.WHILE_READING: ExternalError,
    How.TRANSIENT: SystemUnavailable,
    How.INVALID: InvalidData,
    How.REQUEST: InvalidRequest,
}


@dataclass
class Careless:
    """Forwards to the real adapter and fails as told."""

    inner: Adapter
    how: How

    def fetch(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Records]:
        """One page, then perhaps an error about it."""
        for page in self.inner.fetch(operation, parameters):
            yield page
            if self.how is How.WHILE_READING:
                raise self._error(page.rows)

    def push(
        self, operation: str, parameters: Mapping[str, Any], batch: Sequence[Outgoing]
    ) -> list[PushResult]:
        """Nothing is written."""
        rows = [one.values for one in batch]
        if self.how is How.CRASH:
            raise RuntimeError(self._said(rows))
        if self.how is How.REJECTED:
            return [PushResult(one.key, PushStatus.REJECTED, "", self._said([one.values])) for one in batch]
        if self.how is not How.WHILE_READING:
            raise self._error(rows)
        return self.inner.push(operation, parameters, batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _error(self, rows: Sequence[Record]) -> SluiceError:
        said = self._said(rows)
        fault = Fault("said", said, path=f"rows.{said}", field="project", value=said, hint=f"Not {said}.")
        return _ERRORS[self.how](said, faults=[fault])

    def _said(self, rows: Sequence[Record]) -> str:
        secrets = [self.inner.credentials.secret(name).reveal() for name in self._connector_secrets()]
        values = [str(value) for row in rows for value in row.values()]
        return f"Login {' '.join(secrets)} failed for {'; '.join(values)}. Careless."

    def _connector_secrets(self) -> Sequence[str]:
        return list(self.inner.connector.secrets.values())
