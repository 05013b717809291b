"""Settings: read once from the environment, typed, all faults reported together. Secrets cannot print."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from kernel.durations import parse_duration
from kernel.errors import Fault, InvalidSettings
from kernel.secrets import Secret


@dataclass(frozen=True)
class Settings:
    """Everything the application is told from outside. Field docs below name the setting."""

    database_url: Secret
    """DATABASE_URL: SQLAlchemy URL of the application role."""
    storage_connection: Secret
    """AzureWebJobsStorage: connection string of the storage account."""
    environment: str
    """SLUICE_ENVIRONMENT: sandbox or production."""
    secrets_file: Path
    """SLUICE_SECRETS_FILE: JSON file of connector credentials."""
    key_encryption_key: Secret
    """SLUICE_KEY_ENCRYPTION_KEY: 32 bytes, base64."""
    max_upload_bytes: int
    """SLUICE_MAX_UPLOAD_BYTES: largest file that may be uploaded."""
    database_pool_size: int
    """SLUICE_DATABASE_POOL_SIZE: connections kept per process."""
    max_recoveries: int
    """SLUICE_MAX_RECOVERIES: how often a run is recovered without progress before it fails."""
    silent_after: timedelta
    """SLUICE_SILENT_AFTER: after how long without a sign of life an execution counts as lost."""
    history_kept: timedelta
    """SLUICE_HISTORY_KEPT: how long durable history is kept after a run's end."""
    gate_lease: timedelta
    """SLUICE_GATE_LEASE: how long a place in a connector's gate is kept without a sign of life."""
    platform_authentication: bool
    """WEBSITE_AUTH_ENABLED: set by App Service Authentication; only then its principal headers count."""


ENVIRONMENTS = ("sandbox", "production")
DEFAULT_MAX_UPLOAD_BYTES = 50_000_000


def _environment(value: str) -> str:
    if value not in ENVIRONMENTS:
        raise ValueError(f"use one of {', '.join(ENVIRONMENTS)}")
    return value


def _database_url(value: str) -> Secret:
    if not value.startswith("postgresql+psycopg://"):
        raise ValueError("start it with postgresql+psycopg://")
    return Secret(value)


def _storage(value: str) -> Secret:
    if value != "UseDevelopmentStorage=true" and "AccountName=" not in value:
        raise ValueError("give the connection string of a storage account")
    return Secret(value)


def _key(value: str) -> Secret:
    try:
        length = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError) as exc:
        raise ValueError("give base64 text") from exc
    if length != 32 or not any(base64.b64decode(value)):
        raise ValueError("give 32 random bytes as base64")
    return Secret(value)


def _duration(value: str) -> timedelta:
    try:
        length = parse_duration(value)
    except ValueError:
        length = timedelta()
    if not length:
        raise ValueError("give a duration above 0, e.g. 10m")
    return length


def _flag(value: str) -> bool:
    return value.strip().lower() in ("true", "1")


def _positive(value: str) -> int:
    number = int(value) if value.isdecimal() else 0
    if number < 1:
        raise ValueError("give a whole number above 0")
    return number


@dataclass(frozen=True)
class _Setting:
    field: str
    name: str
    parse: Callable[[str], Any]
    default: str | None = None


SETTINGS = (
    _Setting("database_url", "DATABASE_URL", _database_url),
    _Setting("storage_connection", "AzureWebJobsStorage", _storage),
    _Setting("environment", "SLUICE_ENVIRONMENT", _environment, "sandbox"),
    _Setting("secrets_file", "SLUICE_SECRETS_FILE", Path, "secrets.json"),
    _Setting("key_encryption_key", "SLUICE_KEY_ENCRYPTION_KEY", _key),
    _Setting("max_upload_bytes", "SLUICE_MAX_UPLOAD_BYTES", _positive, str(DEFAULT_MAX_UPLOAD_BYTES)),
    _Setting("database_pool_size", "SLUICE_DATABASE_POOL_SIZE", _positive, "4"),
    _Setting("max_recoveries", "SLUICE_MAX_RECOVERIES", _positive, "5"),
    _Setting("silent_after", "SLUICE_SILENT_AFTER", _duration, "40m"),
    _Setting("history_kept", "SLUICE_HISTORY_KEPT", _duration, "7d"),
    _Setting("gate_lease", "SLUICE_GATE_LEASE", _duration, "5m"),
    _Setting("platform_authentication", "WEBSITE_AUTH_ENABLED", _flag, "false"),
)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`. Raises `InvalidSettings` with every fault and never a secret value."""
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for setting in SETTINGS:
        given = environ.get(setting.name) or setting.default
        if given is None:
            faults.append(Fault("missing", f"The setting {setting.name} is missing.", path=setting.name))
            continue
        try:
            values[setting.field] = setting.parse(given)
        except ValueError as exc:
            faults.append(Fault("invalid", f"The setting {setting.name} is wrong: {exc}.", path=setting.name))
    if faults:
        raise InvalidSettings("The application cannot start with these settings.", faults=faults)
    return Settings(**values)
