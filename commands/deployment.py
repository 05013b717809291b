"""What commands work with, and the catalogue they validate definitions against."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from commands.audience import Audience
from commands.metrics import Metrics
from kernel.clock import Clock
from kernel.errors import CallerError
from kernel.people import Directory, EmptyDirectory
from store.blobs import Blobs
from store.connectors import ConnectorRow, list_connectors
from store.database import Database
from store.definitions import Definitions
from store.envelope import Envelope
from store.object_types import object_types
from store.workflows import Version, numbered_version, workflow_keys
from workflows.catalogue import OperationInfo, VersionInfo
from workflows.model import Workflow
from workflows.planning import Plan
from workflows.sql import SqlEngine

type Describe = Callable[[str, str, Mapping[str, Any], Mapping[str, str]], Mapping[str, OperationInfo]]
"""Operations of a connector from its key, system, settings and secret names."""

type Deliver = Callable[[], Mapping[str, int]]
"""Sends what is due of the outbox of messages; returns how many met which fate."""


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
    audience: Audience = field(default_factory=Audience)
    definitions: Definitions = field(default_factory=Definitions)
    directory: Directory = field(default_factory=EmptyDirectory)
    deliver: Deliver = dict


class StoredCatalogue:
    """The connectors, object types and workflows of the database, each read once; within the transaction of
    `connection` when there is one."""

    def __init__(self, deployment: Deployment, connection: Connection | None = None) -> None:
        self._deployment, self._connection = deployment, connection
        with self._reading() as reading:
            self._connectors: dict[str, ConnectorRow] = {row.key: row for row in list_connectors(reading)}
            self._types = object_types(reading)
        self._describe = deployment.describe
        self._versions: dict[tuple[str, int | None], VersionInfo | None] = {}

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

    def workflows(self) -> Sequence[str]:
        """Keys of all workflows."""
        with self._reading() as connection:
            return workflow_keys(connection)

    def workflow(self, key: str, number: int | None = None) -> VersionInfo | None:
        """The version of that number, or the active one; `None` when there is none."""
        if (key, number) not in self._versions:
            with self._reading() as connection:
                found = numbered_version(connection, key, number)
            self._versions[key, number] = None if found is None else _version_info(found)
        return self._versions[key, number]

    def _reading(self) -> AbstractContextManager[Connection]:
        if self._connection is not None:
            return nullcontext(self._connection)
        return self._deployment.database.reading()


def _version_info(version: Version) -> VersionInfo:
    plan = Plan.from_dict(dict(version.plan))
    return VersionInfo(Workflow.model_validate(version.definition), version.number, version.hash, plan.pinned)
