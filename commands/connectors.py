"""Create connectors and business object types."""

import hashlib
from collections.abc import Mapping
from typing import Any

from commands.deployment import Deployment
from commands.permissions import permit
from kernel.errors import Fault, InvalidRequest
from kernel.people import Person
from store import audit
from store.connectors import ConnectorRow
from store.connectors import save_connector as store_connector
from store.object_types import save_object_type as store_object_type
from workflows.document import dotted
from workflows.leaks import secret_literals
from workflows.objects import ObjectType
from workflows.version import canonical_json


def save_connector(
    deployment: Deployment,
    key: str,
    system: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, str],
    person: Person,
) -> tuple[ConnectorRow, bool]:
    """Create or replace a connector once its adapter accepts the settings; tells whether it is new.

    Raises `InvalidRequest` with all faults, also for a credential among the settings: those are shown to
    everyone who may see connectors.
    """
    permit(person, "save_connector")
    _refuse_credentials(settings)
    deployment.describe(key, system, settings, secrets)
    values = {
        "key": key,
        "system": system,
        "settings": dict(settings),
        "secrets": dict(secrets),
        "created_by": person.id,
    }
    now = deployment.clock()
    with deployment.database.transaction(person.id) as connection:
        row, before = store_connector(connection, values, now)
        audit.record(
            connection, stream="connectors", actor=person.id, action="connector.saved", subject=key,
            details=_changes(row, before), now=now,
        )  # fmt: skip
    return row, before is None


def _changes(row: ConnectorRow, before: ConnectorRow | None) -> dict[str, Any]:
    """Which settings and secrets are new, other or gone: their names, never their values."""
    settings = _other(row.settings, before.settings if before else {})
    secrets = _other(row.secrets, before.secrets if before else {})
    return {"system": row.system, "created": before is None, "settings": settings, "secrets": secrets}


def _other(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    return sorted(
        name for name in {*now, *before} if name not in now or name not in before or now[name] != before[name]
    )


def _refuse_credentials(settings: Mapping[str, Any]) -> None:
    faults = [
        Fault("secret_literal", "This looks like a credential.", path=f"settings.{dotted(path)}",
              hint="Keep it in the vault and name it under `secrets`.")
        for path in secret_literals(dict(settings))
    ]  # fmt: skip
    if faults:
        raise InvalidRequest("The settings hold credentials.", faults=faults)


def save_object_type(deployment: Deployment, name: str, schema: Mapping[str, Any], person: Person) -> None:
    """Create or replace a business object type. Raises `InvalidRequest` unless `schema` is a JSON Schema."""
    permit(person, "save_object_type")
    ObjectType(name, schema)
    digest = hashlib.sha256(canonical_json(schema).encode()).hexdigest()
    now = deployment.clock()
    with deployment.database.transaction(person.id) as connection:
        store_object_type(connection, name, schema, person.id, now)
        audit.record(
            connection, stream="object-types", actor=person.id, action="object_type.saved", subject=name,
            details={"sha256": digest}, now=now,
        )  # fmt: skip
