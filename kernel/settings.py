"""Settings: read once from the environment, typed, all faults reported together. Secrets cannot print."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kernel.durations import parse_duration
from kernel.errors import Fault, InvalidSettings
from kernel.people import Role
from kernel.places import AZURE_SIGNS, is_loopback
from kernel.secrets import Secret

type Names = frozenset[str]
type Texts = Mapping[str, str]
type RoleNames = Mapping[str, Role]
type Secrets = tuple[Secret, ...]


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
    """WEBSITE_AUTH_ENABLED: set by App Service Authentication; only then its principal header counts."""
    identity: str
    """SLUICE_IDENTITY: where people come from: `entra`, or `local` for named test people on this machine."""
    people_file: Path
    """SLUICE_PEOPLE_FILE: JSON file of the test people, for `local`."""
    tenant_id: str
    """SLUICE_TENANT_ID: the Entra tenant, for `entra`."""
    audience: Names
    """SLUICE_AUDIENCE: what tokens must be for: the application's client id and id URI, by commas."""
    allowed_tenants: Names
    """SLUICE_ALLOWED_TENANTS: further tenants whose people may come, by commas."""
    authority: str
    """SLUICE_AUTHORITY: who issues tokens; other than the default in sovereign clouds."""
    graph: str
    """SLUICE_GRAPH: Microsoft Graph, which knows groups; other than the default in sovereign clouds."""
    groups: Texts
    """SLUICE_GROUPS: JSON object: names of groups as definitions use them, and their Entra group ids."""
    roles: RoleNames
    """SLUICE_ROLES: JSON object: names of groups or values of app roles, and the role that each gives."""
    public_url: str
    """SLUICE_PUBLIC_URL: where people reach the pages; links in messages begin with it."""
    link_keys: Secrets
    """SLUICE_LINK_KEYS: keys of links, 32 bytes each as base64, by commas; the first signs, all verify."""
    time_zone: ZoneInfo
    """SLUICE_TIME_ZONE: the time zone of deadlines in messages, e.g. Australia/Sydney."""
    mail: str
    """SLUICE_MAIL: how mail is sent: `none`, `smtp`, `graph`, or `acs` for Communication Services."""
    mail_from: str
    """SLUICE_MAIL_FROM: who mail comes from, e.g. `Sluice <sluice@example.com>`; for `graph` the mailbox."""
    smtp_host: str
    """SLUICE_SMTP_HOST: the mail server, for `smtp`."""
    smtp_port: int
    """SLUICE_SMTP_PORT: its port."""
    smtp_security: str
    """SLUICE_SMTP_SECURITY: `starttls`, `tls`, or `none` for a mail server on the same machine."""
    smtp_user: str
    """SLUICE_SMTP_USER: the user there; empty when it wants none."""
    smtp_secret: str
    """SLUICE_SMTP_SECRET: name of the secret that is the user's password."""
    acs_endpoint: str
    """SLUICE_ACS_ENDPOINT: address of the Communication Services resource, for `acs`."""
    acs_secret: str
    """SLUICE_ACS_SECRET: name of the secret that is its access key; empty: the app's own identity is used."""
    teams_secret: str
    """SLUICE_TEAMS_SECRET: name of the secret with the address of a Teams Workflows webhook; empty: none."""
    slack_secret: str
    """SLUICE_SLACK_SECRET: name of the secret with the address of a Slack incoming webhook; empty: none."""


ENVIRONMENTS = ("sandbox", "production")
LOCAL, ENTRA = IDENTITIES = ("local", "entra")
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


def _identity(value: str) -> str:
    if value not in IDENTITIES:
        raise ValueError(f"use one of {', '.join(IDENTITIES)}")
    return value


def _tenant(value: str) -> str:
    return str(UUID(value)) if value else ""


def _tenants(value: str) -> Names:
    return frozenset(map(_tenant, _names(value)))


def _names(value: str) -> Names:
    return frozenset(name.strip() for name in value.split(",") if name.strip())


def _service(value: str) -> str:
    address = urlsplit(value)
    secure = address.scheme == "https" or (address.scheme == "http" and is_loopback(address.hostname or ""))
    if not secure or not address.hostname or address.query or address.fragment:
        raise ValueError("give an address that starts with https://")
    return value.rstrip("/")


def _object(value: str) -> Texts:
    try:
        data = json.loads(value)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or not all(isinstance(one, str) for one in data.values()):
        raise ValueError("give a JSON object of texts")
    return data


def _groups(value: str) -> Texts:
    return {name: str(UUID(group)) for name, group in _object(value).items()}


def _roles(value: str) -> RoleNames:
    return {name: Role(role) for name, role in _object(value).items()}


def _flag(value: str) -> bool:
    return value.strip().lower() in ("true", "1")


def _positive(value: str) -> int:
    number = int(value) if value.isdecimal() else 0
    if number < 1:
        raise ValueError("give a whole number above 0")
    return number


def _keys(value: str) -> Secrets:
    return tuple(_key(one.strip()) for one in value.split(",") if one.strip())


def _optional_service(value: str) -> str:
    return _service(value) if value else ""


def _zone(value: str) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError("use a name like Europe/London") from exc


MAIL_NEEDS: Mapping[str, Names] = MappingProxyType(
    {
        "none": frozenset(),
        "smtp": frozenset({"mail_from", "smtp_host"}),
        "graph": frozenset({"mail_from"}),
        "acs": frozenset({"mail_from", "acs_endpoint"}),
    }
)
"""Ways to send mail, and the fields that each needs."""


def _mail(value: str) -> str:
    if value not in MAIL_NEEDS:
        raise ValueError(f"use one of {', '.join(MAIL_NEEDS)}")
    return value


def _mailbox(value: str) -> str:
    address = parseaddr(value)[1] if value.isprintable() else ""
    if value and not all(address.rpartition("@")[::2]):
        raise ValueError("give a mail address, with a name before it as in Sluice <sluice@example.com>")
    return value


def _security(value: str) -> str:
    if value not in ("starttls", "tls", "none"):
        raise ValueError("use one of starttls, tls, none")
    return value


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
    _Setting("identity", "SLUICE_IDENTITY", _identity, ENTRA),
    _Setting("people_file", "SLUICE_PEOPLE_FILE", Path, "examples/people.json"),
    _Setting("tenant_id", "SLUICE_TENANT_ID", _tenant, ""),
    _Setting("audience", "SLUICE_AUDIENCE", _names, ""),
    _Setting("allowed_tenants", "SLUICE_ALLOWED_TENANTS", _tenants, ""),
    _Setting("authority", "SLUICE_AUTHORITY", _service, "https://login.microsoftonline.com"),
    _Setting("graph", "SLUICE_GRAPH", _service, "https://graph.microsoft.com"),
    _Setting("groups", "SLUICE_GROUPS", _groups, "{}"),
    _Setting("roles", "SLUICE_ROLES", _roles, "{}"),
    _Setting("public_url", "SLUICE_PUBLIC_URL", _optional_service, ""),
    _Setting("link_keys", "SLUICE_LINK_KEYS", _keys, ""),
    _Setting("time_zone", "SLUICE_TIME_ZONE", _zone, "UTC"),
    _Setting("mail", "SLUICE_MAIL", _mail, "none"),
    _Setting("mail_from", "SLUICE_MAIL_FROM", _mailbox, ""),
    _Setting("smtp_host", "SLUICE_SMTP_HOST", str.strip, ""),
    _Setting("smtp_port", "SLUICE_SMTP_PORT", _positive, "587"),
    _Setting("smtp_security", "SLUICE_SMTP_SECURITY", _security, "starttls"),
    _Setting("smtp_user", "SLUICE_SMTP_USER", str.strip, ""),
    _Setting("smtp_secret", "SLUICE_SMTP_SECRET", str.strip, ""),
    _Setting("acs_endpoint", "SLUICE_ACS_ENDPOINT", _optional_service, ""),
    _Setting("acs_secret", "SLUICE_ACS_SECRET", str.strip, ""),
    _Setting("teams_secret", "SLUICE_TEAMS_SECRET", str.strip, ""),
    _Setting("slack_secret", "SLUICE_SLACK_SECRET", str.strip, ""),
)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`. Raises `InvalidSettings` with every fault and never a secret value."""
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for setting in SETTINGS:
        given = environ.get(setting.name) or setting.default
        if given is None:
            faults.append(_missing(setting.name))
            continue
        try:
            values[setting.field] = setting.parse(given)
        except ValueError as exc:
            faults.append(Fault("invalid", f"The setting {setting.name} is wrong: {exc}.", path=setting.name))
    faults += _identity_faults(values, environ)
    faults += _message_faults(values)
    if faults:
        names = [setting.name for setting in SETTINGS]
        faults.sort(key=lambda fault: names.index(fault.path))
        raise InvalidSettings("The application cannot start with these settings.", faults=faults)
    return Settings(**values)


def _identity_faults(values: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Fault]:
    """Settings that are right by themselves, but leave the door open together, or nobody who can enter."""
    if values.get("identity") == ENTRA:
        for name in ("tenant_id", "audience"):
            if name in values and not values[name]:
                yield _missing(next(setting.name for setting in SETTINGS if setting.field == name))
    elif values.get("identity") == LOCAL and (why := _not_local(values, environ)):
        said = f"`{LOCAL}` is for a machine of one's own, and {why}. Use `{ENTRA}`."
        yield Fault("invalid", f"The setting SLUICE_IDENTITY is wrong: {said}", path="SLUICE_IDENTITY")


def _message_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Settings without which messages cannot be sent, or lead nowhere."""
    needed = MAIL_NEEDS.get(values.get("mail", ""), frozenset())
    if needed or values.get("teams_secret") or values.get("slack_secret"):
        needed |= {"public_url", "link_keys"}
    if values.get("smtp_user"):
        needed |= {"smtp_secret"}
    for setting in SETTINGS:
        if setting.field in needed and setting.field in values and not values[setting.field]:
            yield _missing(setting.name)


def _missing(name: str) -> Fault:
    return Fault("missing", f"The setting {name} is missing.", path=name)


def _not_local(values: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    signs = [name for name in AZURE_SIGNS if environ.get(name)]
    if signs:
        return f"{signs[0]} says that this is Azure"
    host = environ.get("WEBSITE_HOSTNAME") or "localhost"
    if not is_loopback(urlsplit(f"//{host}").hostname or ""):
        return "WEBSITE_HOSTNAME says that others reach it"
    if values.get("platform_authentication"):
        return "WEBSITE_AUTH_ENABLED says that this is Azure"
    if values.get("environment") == "production":
        return "SLUICE_ENVIRONMENT says that this is production"
    return None
