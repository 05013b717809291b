"""What an adapter is: the only thing the engine knows about a connected system.

An adapter is built by `adapters.registry` from a connector, a credential provider and an environment. It is
used by one activity at a time, kept for the next for some minutes, and closed at the end. Its class describes
its operations without any I/O, so that workflows can be validated before anything runs. All errors that
leave an adapter are `kernel.errors.ExternalError`s; whether something may be tried again is decided here and
nowhere else.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from adapters.faults import validated
from kernel.errors import InvalidRequest
from kernel.records import Column, Record, Records
from kernel.secrets import CredentialProvider, Witness
from kernel.verbs import Verb


class Idempotency(StrEnum):
    """How an operation behaves when the same record may have been sent before."""

    NATIVE = "native"
    """The system itself ignores a second write under the same key: sending again is safe."""
    LOOKUP = "lookup"
    """The record can be found by its key; look before every write after the first."""
    NONE = "none"
    """Neither: an unknown outcome stays in doubt until a person resolves it."""


class Parameters(BaseModel):
    """Base of operation parameters: unknown names are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Operation:
    """One thing a connector can do.

    `columns` tells the columns a FETCH delivers or a PUSH accepts for given parameters (`None`: not known
    before the call). `batch_size` counts records; an `atomic` batch is accepted or refused as a whole.
    `settles_seconds` is how long after a PUSH began its records may still appear in the system: what is not
    there by then will not come by itself.
    """

    name: str
    verb: Verb
    summary: str
    parameters: type[Parameters]
    columns: Callable[[Any], tuple[Column, ...] | None]
    idempotency: Idempotency = Idempotency.NONE
    batch_size: int = 1
    atomic: bool = False
    settles_seconds: float = 60


class CommonSettings(BaseModel):
    """What a connector of any system may be told. It is for the engine: adapters do not see it."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    connection_type: str | None = None
    concurrency: int | None = Field(default=None, strict=True, ge=1, le=1000)


@dataclass(frozen=True)
class Connector:
    """A configured system. `secrets` maps the adapter's credential names to names in the vault."""

    key: str
    system: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict)
    environment: str = "sandbox"

    @property
    def common_settings(self) -> CommonSettings:
        """The settings that any connector may have. Raises `InvalidRequest` with all their faults."""
        given = {name: self.settings[name] for name in CommonSettings.model_fields if name in self.settings}
        return validated(CommonSettings, given, what="settings")

    @property
    def own_settings(self) -> dict[str, Any]:
        """The others: those of the connector's system type."""
        common = CommonSettings.model_fields
        return {name: value for name, value in self.settings.items() if name not in common}


@dataclass(frozen=True)
class Outgoing:
    """One record on its way out: its idempotency key and its values."""

    key: str
    values: Record


class PushStatus(StrEnum):
    """What the system did with one record."""

    WRITTEN = "written"
    PRESENT = "present"
    """The same record was there already; nothing was written."""
    REJECTED = "rejected"


@dataclass(frozen=True)
class PushResult:
    """The outcome of one record. `reason` is for people and holds no record values."""

    key: str
    status: PushStatus
    external_id: str = ""
    reason: str = ""


@dataclass(frozen=True)
class CheckResult:
    """What the connector page's test button shows."""

    ok: bool
    detail: str
    checks: Mapping[str, str] = field(default_factory=dict)


class Adapter(ABC):
    """Speaks to one kind of system. Unsupported verbs raise `InvalidRequest`."""

    system: ClassVar[str]
    """The exact system type, e.g. `sql`."""
    settings_model: ClassVar[type[BaseModel]]
    """The connector settings, without secrets."""
    secret_names: ClassVar[tuple[str, ...]] = ()
    """The credential names a connector of this type may map."""

    def __init__(self, connector: Connector, credentials: CredentialProvider) -> None:
        self.connector = connector
        self.credentials = Witness(credentials)

    @classmethod
    @abstractmethod
    def catalogue(cls, settings: Mapping[str, Any]) -> Mapping[str, Operation]:
        """The operations of a connector with these settings, by name. No I/O, no credentials.

        Raises `InvalidRequest` with all faults when the settings are wrong.
        """

    @classmethod
    def needed_secrets(cls, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The credential names that a connector with these settings, valid or not, must map."""
        # A managed identity signs in by itself: nothing is in the vault.
        return () if settings.get("identity") == "managed" else cls.secret_names

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """The operations of this connector, by name; raises as `catalogue` does."""
        return self.catalogue(self.connector.settings)

    def fetch(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Records]:
        """Pages of records, lazily, in a stable order."""
        raise self._unsupported(operation, Verb.FETCH)

    def lookup(self, operation: str, parameters: Mapping[str, Any]) -> Record | None:
        """The one record that the parameters identify."""
        raise self._unsupported(operation, Verb.LOOKUP)

    def push(
        self, operation: str, parameters: Mapping[str, Any], batch: Sequence[Outgoing]
    ) -> list[PushResult]:
        """Write a batch of at most `batch_size` records: one result per record, in the order given.

        Raises `InDoubt` when the batch was sent and no usable answer came, any other `ExternalError` only
        when nothing of the batch was written.
        """
        raise self._unsupported(operation, Verb.PUSH)

    def find_posted(
        self, operation: str, parameters: Mapping[str, Any], keys: Sequence[str]
    ) -> Mapping[str, str]:
        """External ids of the records that are in the system, by idempotency key (`Idempotency.LOOKUP`)."""
        raise self._unsupported(operation, Verb.PUSH)

    def execute(self, operation: str, parameters: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """Run a command once under an idempotency key and return its answer."""
        raise self._unsupported(operation, Verb.EXECUTE)

    @abstractmethod
    def check(self) -> CheckResult:
        """Try the connection and the permissions it needs. Never raises for an unreachable system."""

    def revealed(self) -> list[str]:
        """Every credential that the system may have seen and could repeat in its texts."""
        return self.credentials.revealed()

    def close(self) -> None:
        """Release connections."""
        return None

    def _unsupported(self, operation: str, verb: Verb) -> InvalidRequest:
        return InvalidRequest(
            f"The {self.system!r} adapter has no {verb} for operation {operation!r} of connector "
            f"{self.connector.key!r}; see the connector's catalogue."
        )
