"""Makes what activities work with, as the deployment's settings say."""

import atexit
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from activities.adapter_pool import AdapterPool
from activities.notifying.postbox import PostboxSettings, build_postbox
from activities.services import Services
from adapters.registry import get_adapter
from kernel.clock import Clock
from kernel.people import Directory
from kernel.secrets import Secret
from store.blobs import Blobs
from store.contexts import ContextStore
from store.database import Database
from store.envelope import Envelope
from store.gates import Gates
from store.vault import FileVault
from workflows.sql import SqlEngine


class ServiceSettings(PostboxSettings, Protocol):
    """What the deployment's settings say about activities; `kernel.settings` has the meanings."""

    # fmt: off
    @property
    def environment(self) -> str: ...
    @property
    def storage_connection(self) -> Secret: ...
    @property
    def secrets_file(self) -> Path: ...
    @property
    def max_recoveries(self) -> int: ...
    @property
    def gate_lease(self) -> timedelta: ...
    # fmt: on


def build_services(
    settings: ServiceSettings, database: Database, blobs: Blobs, envelope: Envelope, engine: SqlEngine,
    directory: Directory, clock: Clock,
) -> Services:  # fmt: skip
    """Once per process. Adapters are closed when it ends. Raises `InvalidSettings`."""
    vault = FileVault(settings.secrets_file)
    adapters = AdapterPool(partial(get_adapter, environment=settings.environment, credentials=vault))
    atexit.register(adapters.close)
    return Services(
        database, blobs, ContextStore(blobs, envelope), envelope, engine, adapters, clock,
        settings.environment, Gates(settings.storage_connection, settings.gate_lease),
        max_recoveries=settings.max_recoveries, directory=directory,
        postbox=build_postbox(settings, vault, clock),
    )  # fmt: skip
