"""What host.json and local.settings.json say, as typed values."""

import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localhost.host.errors import SettingsError
from localhost.host.jsonfile import read_json_object, unknown_keys

DEFAULT_BODY_LIMIT = 104_857_600
"""Bytes of a request body that are accepted (the Functions host's default)."""

_HOST_KEYS = frozenset(
    {
        "$schema",
        "version",
        "aggregator",
        "applicationInsights",
        "concurrency",
        "customHandler",
        "extensionBundle",
        "extensions",
        "functions",
        "functionTimeout",
        "healthMonitor",
        "logging",
        "managedDependency",
        "retry",
        "sendCanceledInvocationsToWorker",
        "singleton",
        "telemetryMode",
        "watchDirectories",
        "watchFiles",
    }
)
_HTTP_KEYS = frozenset(
    {
        "routePrefix",
        "maxOutstandingRequests",
        "maxConcurrentRequests",
        "dynamicThrottlesEnabled",
        "hsts",
        "customHeaders",
    }
)
_DURABLE_KEYS = frozenset(
    {
        "hubName",
        "defaultVersion",
        "versionMatchStrategy",
        "versionFailureStrategy",
        "storageProvider",
        "tracing",
        "notifications",
        "maxConcurrentActivityFunctions",
        "maxConcurrentOrchestratorFunctions",
        "maxConcurrentEntityFunctions",
        "extendedSessionsEnabled",
        "extendedSessionIdleTimeoutInSeconds",
        "useAppLease",
        "useGracefulShutdown",
        "maxEntityOperationBatchSize",
        "maxOrchestrationActions",
        "overridableExistingInstanceStates",
        "entityMessageReorderWindowInMinutes",
        "storeInputsInOrchestrationHistory",
        "maxGrpcMessageSizeInBytes",
        "grpcHttpClientTimeout",
        "localRpcEndpointEnabled",
        "httpSettings",
        "rollbackEntityOperationsOnExceptions",
        "logReplayEvents",
        "traceInputsAndOutputs",
        "customLifeCycleNotificationHelperType",
    }
)
_HOST_VERSION = "2.0"
_LOCAL_KEYS = frozenset({"IsEncrypted", "Values", "Host", "ConnectionStrings"})
_SETTING = re.compile(r"%([^%]+)%")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


@dataclass(frozen=True)
class DurableSettings:
    """`extensions.durableTask` of host.json, as far as a task hub needs it."""

    hub_name: str = "TestHubName"
    default_version: str | None = None
    max_grpc_message_bytes: int = 0
    """0 leaves gRPC's own default of 4 MB."""
    max_concurrent_activities: int = 20
    max_concurrent_orchestrations: int = 20
    max_concurrent_entities: int = 20
    replace_running: bool = False
    """Whether starting an instance id that still runs replaces it (`AnyState`) or is refused."""


@dataclass(frozen=True)
class HostSettings:
    """Everything the two files say that this host acts on."""

    script_root: Path
    route_prefix: str = "api"
    durable: DurableSettings = field(default_factory=DurableSettings)
    body_limit: int = DEFAULT_BODY_LIMIT
    worker_processes: int = 1
    cors: tuple[str, ...] = ()
    custom_headers: Mapping[str, str] = field(default_factory=dict)
    local_port: int | None = None
    log_levels: Mapping[str, str] = field(default_factory=dict)
    watch_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load_settings(script_root: Path, environ: MutableMapping[str, str]) -> HostSettings:
    """Read both files of a function app folder; `Values` go to `environ`, where what is there already wins.

    Raises SettingsError if the folder has no host.json or one of the files cannot be used.
    """
    host_file, local_file = script_root / "host.json", script_root / "local.settings.json"
    if not host_file.is_file():
        raise SettingsError(
            f"There is no host.json in {script_root}. Start from the folder of a function app, "
            "or name it with --script-root."
        )
    host = read_json_object(host_file)
    warnings = unknown_keys(host, _HOST_KEYS, "host.json")
    if host and host.get("version") != _HOST_VERSION:
        warnings.append(f'host.json has no "version": "{_HOST_VERSION}"; in Azure the app would not start.')
    local: dict[str, Any] = {}
    if local_file.is_file():
        local = read_json_object(local_file)
        warnings += unknown_keys(local, _LOCAL_KEYS, "local.settings.json")
    else:
        warnings.append("There is no local.settings.json; only environment variables are used as settings.")
    _apply_values(local, environ)
    return _host_settings(script_root, host, local, environ, warnings)


def _apply_values(local: Mapping[str, Any], environ: MutableMapping[str, str]) -> None:
    if local.get("IsEncrypted"):
        raise SettingsError(
            "local.settings.json is encrypted, which only Core Tools can read. Set IsEncrypted to false and "
            "enter the values in clear."
        )
    values = _section(local, "Values", "local.settings.json")
    for name, value in values.items():
        if isinstance(value, dict | list):
            raise SettingsError(
                f"local.settings.json: Values.{name} must be one value. Nest settings with '__' in the name."
            )
        if value is not None:
            environ.setdefault(name, {True: "true", False: "false"}.get(value, str(value)))
    for name, value in _section(local, "ConnectionStrings", "local.settings.json").items():
        text = value.get("ConnectionString", "") if isinstance(value, dict) else value
        environ.setdefault(f"ConnectionStrings__{name}", str(text))


def _host_settings(
    script_root: Path,
    host: Mapping[str, Any],
    local: Mapping[str, Any],
    environ: Mapping[str, str],
    warnings: list[str],
) -> HostSettings:
    extensions = _section(host, "extensions", "host.json")
    http = _section(extensions, "http", "host.json: extensions")
    warnings += unknown_keys(http, _HTTP_KEYS, "host.json: extensions.http")
    durable = _section(extensions, "durableTask", "host.json: extensions")
    warnings += unknown_keys(durable, _DURABLE_KEYS, "host.json: extensions.durableTask")
    local_host = _section(local, "Host", "local.settings.json")
    logging = _section(host, "logging", "host.json")
    return HostSettings(
        script_root=script_root,
        route_prefix=str(http.get("routePrefix", "api")).strip("/"),
        durable=_durable_settings(durable, environ),
        body_limit=_whole_number(
            environ, "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", DEFAULT_BODY_LIMIT, "environment"
        ),
        worker_processes=max(1, _whole_number(environ, "FUNCTIONS_WORKER_PROCESS_COUNT", 1, "environment")),
        custom_headers=_custom_headers(http),
        cors=tuple(origin.strip() for origin in str(local_host.get("CORS", "")).split(",") if origin.strip()),
        local_port=_whole_number(local_host, "LocalHttpPort", 0, "local.settings.json: Host") or None,
        log_levels=_section(logging, "logLevel", "host.json: logging"),
        watch_files=tuple(str(name) for name in host.get("watchFiles", ())),
        warnings=tuple(warnings),
    )


def _custom_headers(http: Mapping[str, Any]) -> Mapping[str, str]:
    place = "host.json: extensions.http"
    headers = {name: str(value) for name, value in _section(http, "customHeaders", place).items()}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise SettingsError(f"{place}: '{name}' of customHeaders cannot be sent as a header.")
    return headers


def _durable_settings(durable: Mapping[str, Any], environ: Mapping[str, str]) -> DurableSettings:
    place, cores = "host.json: extensions.durableTask", os.cpu_count() or 1
    states = durable.get("overridableExistingInstanceStates", "NonRunningStates")

    def at_a_time(kind: str) -> int:
        return _whole_number(durable, f"maxConcurrent{kind}Functions", 10 * cores, place, least=1)

    version = durable.get("defaultVersion")
    return DurableSettings(
        hub_name=resolve(str(durable.get("hubName", "TestHubName")), environ),
        default_version=None if version is None else str(version),
        max_grpc_message_bytes=_whole_number(durable, "maxGrpcMessageSizeInBytes", 0, place),
        max_concurrent_activities=at_a_time("Activity"),
        max_concurrent_orchestrations=at_a_time("Orchestrator"),
        max_concurrent_entities=at_a_time("Entity"),
        replace_running=str(states).casefold() == "anystate",
    )


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """`text` with every `%NAME%` replaced by that setting. Raises SettingsError if one is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise SettingsError(
                f"'{text}' needs the setting {match[1]}, which is not set. Add it to local.settings.json."
            )
        return environ[match[1]]

    return _SETTING.sub(value, text)


def _section(parent: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    value = parent.get(key) or {}
    if not isinstance(value, dict):
        raise SettingsError(f"{place}: '{key}' must be an object, not {type(value).__name__}.")
    return value


def _whole_number(section: Mapping[str, Any], key: str, default: int, place: str, *, least: int = 0) -> int:
    value = section.get(key, default)
    if isinstance(value, bool) or not str(value).isdecimal():
        raise SettingsError(f"{place}: '{key}' must be a whole number, not {value!r}.")
    if int(value) < least:
        raise SettingsError(f"{place}: '{key}' must be at least {least}, not {value!r}.")
    return int(value)
