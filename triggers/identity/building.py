"""Puts the ways of saying who one is together, as the deployment's settings want them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from adapters.entra_tokens import EntraTokens
from adapters.identity.graph import GraphDirectory
from adapters.identity.issuer_keys import IssuerKeys
from adapters.identity.people_file import PeopleFile
from kernel.clock import Clock
from kernel.people import Directory, Role
from kernel.secrets import Secret
from store.database import Database
from triggers.http import Identify
from triggers.identity.callers import Callers, Way
from triggers.identity.claims import EntraPeople
from triggers.identity.local import PERSON_HEADER, LocalPeople
from triggers.identity.machines import KEY_HEADER, ApiKeys
from triggers.identity.noting import Noting
from triggers.identity.principal import PlatformPeople
from triggers.identity.sessions import Sessions
from triggers.identity.tokens import Tokens


@dataclass(frozen=True)
class Identity:
    """Who makes requests, and who is in which group. `sign_in` are the test people who sign in on a page."""

    identify: Identify
    directory: Directory
    sign_in: LocalPeople | None = None


class IdentitySettings(Protocol):
    """What the deployment's settings say about identity; `kernel.settings` has the meanings."""

    # fmt: off
    @property
    def identity(self) -> str: ...
    @property
    def people_file(self) -> Path: ...
    @property
    def key_encryption_key(self) -> Secret: ...
    @property
    def platform_authentication(self) -> bool: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def allowed_tenants(self) -> frozenset[str]: ...
    @property
    def audience(self) -> frozenset[str]: ...
    @property
    def authority(self) -> str: ...
    @property
    def graph(self) -> str: ...
    @property
    def groups(self) -> Mapping[str, str]: ...
    @property
    def roles(self) -> Mapping[str, Role]: ...
    # fmt: on


def build_identity(settings: IdentitySettings, database: Database, clock: Clock) -> Identity:
    """What the settings want. Raises `InvalidSettings` when a file that they name is not usable."""
    ways, directory, remedy = _BUILDERS[settings.identity](settings, clock)
    callers = Callers([ApiKeys(database, clock), *ways], remedy)
    sign_in = next((way for way in ways if isinstance(way, LocalPeople)), None)
    return Identity(Noting(callers, database, clock), directory, sign_in)


type _Built = tuple[list[Way], Directory, str]


def _local(settings: IdentitySettings, clock: Clock) -> _Built:
    directory = PeopleFile(settings.people_file)
    people = LocalPeople(directory.people, Sessions(settings.key_encryption_key), clock)
    return [people], directory, f"Name a test person, `{PERSON_HEADER}: NAME`, or send an API key."


def _entra(settings: IdentitySettings, _clock: Clock) -> _Built:
    directory = GraphDirectory(settings.graph, EntraTokens(f"{settings.graph}/.default"), settings.groups)
    tenants = settings.allowed_tenants | {settings.tenant_id}
    people = EntraPeople(settings.tenant_id, tenants, settings.groups, settings.roles, directory.groups_of)
    ways: list[Way] = [Tokens(IssuerKeys(settings.authority), settings.audience, people)]
    if settings.platform_authentication:
        ways.append(PlatformPeople(people))
    remedy = f"Send a token of Entra ID, `Authorization: Bearer TOKEN`, or an API key, `{KEY_HEADER}: KEY`."
    return ways, directory, remedy


_BUILDERS: Mapping[str, Callable[[IdentitySettings, Clock], _Built]] = MappingProxyType(
    {"local": _local, "entra": _entra}
)
