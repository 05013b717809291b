"""What validation asks about connectors and object types; `commands` answers from the store and adapters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from kernel.records import Column
from kernel.verbs import Verb


class OperationInfo(Protocol):
    """One operation of a connector, as its adapter declares it."""

    @property
    def name(self) -> str:
        """The operation's name."""
        ...

    @property
    def verb(self) -> Verb:
        """The one verb it serves."""
        ...

    @property
    def parameters(self) -> type[BaseModel]:
        """The model that its parameters must meet."""
        ...

    @property
    def columns(self) -> Callable[[Any], tuple[Column, ...] | None]:
        """The columns it delivers or accepts, for parsed parameters."""
        ...


class Catalogue(Protocol):
    """The deployment's connectors and business object types."""

    def connectors(self) -> Sequence[str]:
        """Keys of all connectors."""
        ...

    def operations(self, connector: str) -> Mapping[str, OperationInfo]:
        """The operations of a known connector."""
        ...

    def object_types(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON Schemas by type name."""
        ...
