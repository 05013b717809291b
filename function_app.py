"""Composition root: settings, services, blueprints."""

import base64
import os
from collections.abc import Mapping
from functools import partial

import azure.durable_functions as df
import azure.functions as func

from activities.blueprint import activity_blueprint
from activities.building import build_services
from activities.notify import deliver
from adapters.registry import operations_of
from commands.deployment import Deployment, RecoveryPolicy
from commands.metrics import OpenTelemetryMetrics
from console.blueprint import console_blueprint, site_of
from console.door import Door
from console.visit import Site
from kernel.clock import utc_now
from kernel.links import Links
from kernel.settings import Settings, read_settings
from orchestrators.blueprint import orchestrator_blueprint
from store.blobs import Blobs
from store.database import Database
from store.envelope import Envelope
from triggers.addresses import client_address
from triggers.blueprint import trigger_blueprint
from triggers.identity.building import Identity, build_identity
from triggers.identity.origins import refuse_foreign_origin
from workflows.sql import SqlEngine


def create_app(environ: Mapping[str, str]) -> df.DFApp:
    """The function app with all its triggers. Raises `InvalidSettings` with every fault."""
    settings = read_settings(environ)
    database = Database(settings.database_url, settings.database_pool_size)
    blobs = Blobs(settings.storage_connection)
    engine = SqlEngine()
    envelope = Envelope(base64.b64decode(settings.key_encryption_key.reveal()))
    identity = build_identity(settings, database, utc_now)
    application = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    services = build_services(settings, database, blobs, envelope, engine, identity.directory, utc_now)
    application.register_functions(activity_blueprint(services))
    application.register_functions(orchestrator_blueprint())
    deployment = Deployment(
        database, blobs, envelope, engine, operations_of, utc_now, settings.environment,
        settings.max_upload_bytes,
        OpenTelemetryMetrics(),
        RecoveryPolicy(settings.max_recoveries, settings.silent_after, settings.history_kept),
        directory=identity.directory, deliver=partial(deliver, services),
    )  # fmt: skip
    application.register_functions(trigger_blueprint(deployment, identity.identify))
    application.register_functions(console_blueprint(_site(settings, deployment, identity)))
    return application


def _site(settings: Settings, deployment: Deployment, identity: Identity) -> Site:
    door = Door(
        identity.identify, client_address, refuse_foreign_origin, identity.sign_in,
        settings.platform_authentication,
    )  # fmt: skip
    links = Links(settings.public_url, settings.link_keys)
    return site_of(deployment, door, links, settings.key_encryption_key, settings.time_zone)


app = create_app(os.environ)
