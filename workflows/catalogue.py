"""What validation asks about connectors, object types and other workflows; `commands` answers from the store
and adapters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from kernel.records import Column
from kernel.verbs import Verb
from workflows.model import Workflow


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


@dataclass(frozen=True)
class VersionInfo:
    """A published version of a workflow. `pinned` has the versions that its own steps are pinned to."""

    workflow: Workflow
    number: int
    hash: str
    pinned: Mapping[str, int] = field(default_factory=dict)


class Catalogue(Protocol):
    """The deployment's connectors, business object types and published workflows."""

    def connectors(self) -> Sequence[str]:
        """Keys of all connectors."""
        ...

    def operations(self, connector: str) -> Mapping[str, OperationInfo]:
        """The operations of a known connector."""
        ...

    def object_types(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON Schemas by type name."""
        ...

    def workflows(self) -> Sequence[str]:
        """Keys of all workflows."""
        ...

    def workflow(self, key: str, number: int | None = None) -> VersionInfo | None:
        """The version of that number, or the active one; `None` when there is none."""
        ...
