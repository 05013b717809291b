"""What commands work with, and the catalogue they validate definitions against."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from commands.metrics import Metrics
from kernel.clock import Clock
from kernel.errors import CallerError
from store.blobs import Blobs
from store.connectors import ConnectorRow, list_connectors
from store.database import Database
from store.envelope import Envelope
from store.object_types import object_types
from workflows.catalogue import OperationInfo
from workflows.sql import SqlEngine

type Describe = Callable[[str, str, Mapping[str, Any], Mapping[str, str]], Mapping[str, OperationInfo]]
"""Operations of a connector from its key, system, settings and secret names."""


@dataclass(frozen=True)
class RecoveryPolicy:
    """When runs are given up or recovered, and how long durable history is kept after a run's end.

    `max_recoveries` counts recoveries without progress between; an execution that goes on without any sign
    of life for `silent_after` counts as lost: longer than the time limit of a function.
    """

    max_recoveries: int = 5
    silent_after: timedelta = timedelta(minutes=40)
    history_kept: timedelta = timedelta(days=7)


@dataclass(frozen=True)
class Deployment:
    """This deployment's database, storage and limits. `describe` comes from the adapter registry."""

    database: Database
    blobs: Blobs
    envelope: Envelope
    engine: SqlEngine
    describe: Describe
    clock: Clock
    environment: str
    max_upload_bytes: int
    metrics: Metrics
    recovery: RecoveryPolicy = RecoveryPolicy()


class StoredCatalogue:
    """The connectors and object types of the database, read once."""

    def __init__(self, deployment: Deployment) -> None:
        with deployment.database.reading() as connection:
            self._connectors: dict[str, ConnectorRow] = {row.key: row for row in list_connectors(connection)}
            self._types = object_types(connection)
        self._describe = deployment.describe

    def connectors(self) -> Sequence[str]:
        """Keys of all connectors."""
        return list(self._connectors)

    def operations(self, connector: str) -> Mapping[str, OperationInfo]:
        """The connector's operations; none when its stored settings no longer fit its adapter."""
        row = self._connectors[connector]
        try:
            return self._describe(row.key, row.system, row.settings, row.secrets)
        except CallerError:
            return {}

    def object_types(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON Schemas by type name."""
        return self._types
