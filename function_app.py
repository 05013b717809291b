"""Composition root: settings, services, blueprints."""

import atexit
import base64
import os
from collections.abc import Mapping
from functools import partial

import azure.durable_functions as df
import azure.functions as func

from activities.adapter_pool import AdapterPool
from activities.blueprint import activity_blueprint
from activities.services import Services
from adapters.registry import get_adapter, operations_of
from commands.deployment import Deployment, RecoveryPolicy
from commands.metrics import OpenTelemetryMetrics
from kernel.clock import utc_now
from kernel.settings import Settings, read_settings
from orchestrators.blueprint import orchestrator_blueprint
from store.blobs import Blobs
from store.contexts import ContextStore
from store.database import Database
from store.envelope import Envelope
from store.gates import Gates
from store.vault import FileVault
from triggers.blueprint import trigger_blueprint
from workflows.sql import SqlEngine


def create_app(environ: Mapping[str, str]) -> df.DFApp:
    """The function app with all its triggers. Raises `InvalidSettings` with every fault."""
    settings = read_settings(environ)
    database = Database(settings.database_url, settings.database_pool_size)
    blobs = Blobs(settings.storage_connection)
    engine = SqlEngine()
    envelope = Envelope(base64.b64decode(settings.key_encryption_key.reveal()))
    application = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
    application.register_functions(activity_blueprint(_services(settings, database, blobs, envelope, engine)))
    application.register_functions(orchestrator_blueprint())
    deployment = Deployment(
        database, blobs, envelope, engine, operations_of, utc_now, settings.environment,
        settings.max_upload_bytes,
        OpenTelemetryMetrics(),
        RecoveryPolicy(settings.max_recoveries, settings.silent_after, settings.history_kept),
    )  # fmt: skip
    application.register_functions(
        trigger_blueprint(deployment, platform_authentication=settings.platform_authentication)
    )
    return application


def _services(
    settings: Settings, database: Database, blobs: Blobs, envelope: Envelope, engine: SqlEngine
) -> Services:
    vault = FileVault(settings.secrets_file)
    adapters = AdapterPool(partial(get_adapter, environment=settings.environment, credentials=vault))
    atexit.register(adapters.close)
    contexts = ContextStore(blobs, envelope)
    return Services(
        database, blobs, contexts, envelope, engine, adapters, utc_now, settings.environment,
        Gates(settings.storage_connection, settings.gate_lease), max_recoveries=settings.max_recoveries,
    )  # fmt: skip


app = create_app(os.environ)
