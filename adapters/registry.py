"""The only place that constructs adapters.

Which adapter serves a connector is decided in this order: its exact system type; what its settings give
away; the generic adapter of its connection type (the setting `connection_type`); a deterministic refusal.
Adapters see the settings of their system type only, not those that any connector may have.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any

from adapters.contract import Adapter, Connector, Operation
from adapters.faults import refused
from kernel.errors import Fault, InvalidRequest
from kernel.secrets import CredentialProvider

# System type -> module and class. Vendor code is imported when a connector first needs it.
_ADAPTERS: Mapping[str, str] = MappingProxyType(
    {
        "files": "adapters.datasource.files.adapter:FilesAdapter",
        "rest": "adapters.datasource.rest.adapter:RestAdapter",
        "sql": "adapters.datasource.sql.adapter:SqlAdapter",
    }
)

_GENERIC: Mapping[str, str] = MappingProxyType(
    {
        "blob": "files",
        "files": "files",
        "http": "rest",
        "postgresql": "sql",
        "rest": "rest",
        "sql": "sql",
    }
)


@dataclass(frozen=True)
class _Rule:
    """Settings that give a system away."""

    system: str
    because: str
    holds: Callable[[Mapping[str, Any]], bool]


_RULES: tuple[_Rule, ...] = (
    _Rule(
        "sql", "settings name a database and a host", lambda settings: {"database", "host"} <= set(settings)
    ),
    _Rule("sql", "settings name a dialect", lambda settings: "dialect" in settings),
    _Rule("rest", "settings name a base_url", lambda settings: "base_url" in settings),
    _Rule("files", "settings name a container", lambda settings: "container" in settings),
    _Rule(
        "files",
        "settings name a blob service address",
        lambda settings: ".blob." in str(settings.get("account_url", "")),
    ),
)


def systems() -> tuple[str, ...]:
    """The system types that have an adapter of their own, sorted."""
    return tuple(sorted(_ADAPTERS))


def describe(connector: Connector) -> Mapping[str, Operation]:
    """What the connector can do, by operation name. No I/O and no credentials.

    Raises `InvalidRequest` with all faults when no adapter fits, the settings are wrong or a secret is not
    mapped.
    """
    kind, settled = _resolve(connector)
    read = cache(lambda: kind.catalogue(settled.settings))
    _refuse(connector, _faults(kind, connector, settled, read))
    return read()


def operations_of(
    key: str, system: str, settings: Mapping[str, Any], secrets: Mapping[str, str]
) -> Mapping[str, Operation]:
    """What a connector of these parts could do; raises as `describe` does."""
    return describe(Connector(key, system, settings, secrets))


def get_adapter(connector: Connector, environment: str, credentials: CredentialProvider) -> Adapter:
    """A new adapter; close it afterwards. It connects when first used.

    Raises `InvalidRequest` as `describe` does, and for a connector of another environment than this
    deployment's.
    """
    kind, settled = _resolve(connector)
    adapter = kind(settled, credentials)
    faults = _faults(kind, connector, settled, lambda: adapter.operations)
    _refuse(connector, [*faults, *_environment_faults(settled, environment)])
    return adapter


def _refuse(connector: Connector, faults: Sequence[Fault]) -> None:
    if faults:
        raise refused(f"connector {connector.key!r}", faults)


def _faults(
    kind: type[Adapter], connector: Connector, settled: Connector, read: Callable[[], object]
) -> list[Fault]:
    """What is wrong with the connector; `read` reads its catalogue."""
    return [
        *_settings_faults(lambda: connector.common_settings),
        *_settings_faults(read),
        *_secret_faults(kind, settled),
    ]


def _environment_faults(connector: Connector, environment: str) -> Iterator[Fault]:
    if connector.environment != environment:
        yield Fault(
            code="wrong_environment",
            message=f"The connector is for {connector.environment!r}, the deployment is {environment!r}.",
            path="environment",
            hint="Configure the connector for this environment.",
        )


def _resolve(connector: Connector) -> tuple[type[Adapter], Connector]:
    """The adapter class, and the connector as the adapter sees it."""
    system = _system(connector)
    return _load(_ADAPTERS[system]), replace(connector, settings=connector.own_settings)


def _system(connector: Connector) -> str:
    tried = []
    for description, found in _candidates(connector):
        if found is not None:
            return found
        tried.append(description)
    raise InvalidRequest(
        f"No adapter serves connector {connector.key!r}. Tried in order: {'; '.join(tried)}. "
        f"Known system types are {', '.join(systems())}."
    )


def _candidates(connector: Connector) -> Iterator[tuple[str, str | None]]:
    """What is tried, in order, with the system it leads to."""
    exact = connector.system if connector.system in _ADAPTERS else None
    yield f"system type {connector.system!r}, which has no adapter", exact
    inferred = next((rule.system for rule in _RULES if rule.holds(connector.settings)), None)
    yield f"its settings, which match none of: {', '.join(rule.because for rule in _RULES)}", inferred
    connection_type = connector.settings.get("connection_type")
    known = ", ".join(sorted(_GENERIC))
    yield (
        f"connection type {connection_type!r}, which is none of: {known}",
        _GENERIC.get(str(connection_type)),
    )


def _load(path: str) -> type[Adapter]:
    module, _, name = path.partition(":")
    kind = getattr(import_module(module), name)
    assert isinstance(kind, type)
    assert issubclass(kind, Adapter)
    return kind


def _settings_faults(check: Callable[[], object]) -> tuple[Fault, ...]:
    try:
        check()
    except InvalidRequest as exc:
        return tuple(replace(fault, path=f"settings.{fault.path}".rstrip(".")) for fault in exc.faults)
    return ()


def _secret_faults(kind: type[Adapter], connector: Connector) -> Iterator[Fault]:
    for name in kind.needed_secrets(connector.settings):
        if not connector.secrets.get(name):
            yield Fault(
                code="missing_secret",
                message=f"The credential {name!r} is not mapped to a secret.",
                path=f"secrets.{name}",
                hint=f"Store it in the vault and map {name!r} to the secret's name.",
            )
    for name in sorted(set(connector.secrets) - set(kind.secret_names)):
        yield Fault(
            code="unknown_secret",
            message=f"The adapter has no credential {name!r}.",
            path=f"secrets.{name}",
            hint=f"Its credentials are {', '.join(kind.secret_names) or 'none'}.",
        )
