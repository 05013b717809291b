"""Puts the ways of saying who one is together, as the deployment's settings want them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from adapters.identity.people_file import PeopleFile
from kernel.clock import Clock
from kernel.people import Directory
from kernel.secrets import Secret
from triggers.http import Identify
from triggers.identity.callers import Callers
from triggers.identity.local import PERSON_HEADER, LocalPeople
from triggers.identity.sessions import Sessions


class IdentitySettings(Protocol):
    """What the deployment's settings say about identity."""

    @property
    def identity(self) -> str:
        """`local` or `entra`."""

    @property
    def people_file(self) -> Path:
        """Test people."""

    @property
    def key_encryption_key(self) -> Secret:
        """What the key of sessions is derived from."""


@dataclass(frozen=True)
class Identity:
    """Who makes requests, and who is in which group."""

    identify: Identify
    directory: Directory


def build_identity(settings: IdentitySettings, clock: Clock) -> Identity:
    """What the settings want. Raises `InvalidSettings` when a file that they name is not usable."""
    return _BUILDERS[settings.identity](settings, clock)


def _local(settings: IdentitySettings, clock: Clock) -> Identity:
    directory = PeopleFile(settings.people_file)
    people = LocalPeople(directory.people, Sessions(settings.key_encryption_key), clock)
    return Identity(Callers([people], f"Name a test person: `{PERSON_HEADER}: NAME`."), directory)


def _entra(_settings: IdentitySettings, _clock: Clock) -> Identity:
    raise NotImplementedError


_BUILDERS: Mapping[str, Callable[[IdentitySettings, Clock], Identity]] = MappingProxyType(
    {"local": _local, "entra": _entra}
)
