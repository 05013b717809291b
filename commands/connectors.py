"""Create connectors and business object types."""

from collections.abc import Mapping
from typing import Any

from commands.deployment import Deployment
from kernel.errors import Fault, InvalidRequest
from store import audit
from store.connectors import ConnectorRow
from store.connectors import save_connector as store_connector
from store.object_types import save_object_type as store_object_type
from workflows.document import dotted
from workflows.leaks import secret_literals
from workflows.objects import ObjectType


def save_connector(
    deployment: Deployment,
    key: str,
    system: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, str],
    actor: str,
) -> tuple[ConnectorRow, bool]:
    """Create or replace a connector once its adapter accepts the settings; tells whether it is new.

    Raises `InvalidRequest` with all faults, also for a credential among the settings: those are shown to
    everyone who may see connectors.
    """
    _refuse_credentials(settings)
    deployment.describe(key, system, settings, secrets)
    values = {
        "key": key,
        "system": system,
        "settings": dict(settings),
        "secrets": dict(secrets),
        "created_by": actor,
    }
    now = deployment.clock()
    with deployment.database.transaction(actor) as connection:
        row, created = store_connector(connection, values, now)
        audit.record(
            connection, stream="connectors", actor=actor, action="connector.saved", subject=key,
            details={"system": system, "created": created}, now=now,
        )  # fmt: skip
    return row, created


def _refuse_credentials(settings: Mapping[str, Any]) -> None:
    faults = [
        Fault("secret_literal", "This looks like a credential.", path=f"settings.{dotted(path)}",
              hint="Keep it in the vault and name it under `secrets`.")
        for path in secret_literals(dict(settings))
    ]  # fmt: skip
    if faults:
        raise InvalidRequest("The settings hold credentials.", faults=faults)


def save_object_type(deployment: Deployment, name: str, schema: Mapping[str, Any], actor: str) -> None:
    """Create or replace a business object type. Raises `InvalidRequest` unless `schema` is a JSON Schema."""
    ObjectType(name, schema)
    now = deployment.clock()
    with deployment.database.transaction(actor) as connection:
        store_object_type(connection, name, schema, actor, now)
        audit.record(
            connection, stream="object-types", actor=actor, action="object_type.saved", subject=name,
            details={}, now=now,
        )  # fmt: skip
