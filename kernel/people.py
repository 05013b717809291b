"""Who acts: people, machines and the engine itself, and what they may do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol


class Role(StrEnum):
    """What someone may do in general. `INCLUDES` says which role has the rights of which."""

    VIEWER = "viewer"
    """See everything that is not sensitive."""
    AUTHOR = "author"
    """Write workflows and object types, and try them."""
    OPERATOR = "operator"
    """Start, watch and repair runs."""
    APPROVER = "approver"
    """Decide approvals that name a group of theirs."""
    ADMIN = "admin"
    """Connectors, keys, and everything else."""


INCLUDES: Mapping[Role, frozenset[Role]] = MappingProxyType(
    {
        Role.VIEWER: frozenset(),
        Role.AUTHOR: frozenset({Role.VIEWER}),
        Role.OPERATOR: frozenset({Role.VIEWER}),
        Role.APPROVER: frozenset({Role.VIEWER}),
        Role.ADMIN: frozenset(Role),
    }
)


def with_included(roles: Iterable[Role]) -> frozenset[Role]:
    """These roles, and those they include."""
    held = frozenset(roles)
    return held.union(*(INCLUDES[role] for role in held))


@dataclass(frozen=True)
class Person:
    """Whoever makes a request: a person, or a machine with a key or a token of its own.

    `id` is what the audit trail names: `entra:{object id}`, `local:{name}` or `key:{id of the API key}`.
    `groups` are names as workflow definitions use them. `scopes` are the only commands that a machine may
    use; `None` is no such limit.
    """

    id: str
    name: str
    email: str = field(default="", repr=False)
    roles: frozenset[Role] = frozenset()
    groups: frozenset[str] = frozenset()
    machine: bool = False
    scopes: frozenset[str] | None = None


SYSTEM = Person("sluice", "Sluice", roles=frozenset({Role.ADMIN}), machine=True)
"""The engine and its sweeps."""


@dataclass(frozen=True)
class Addressee:
    """Someone who can be written to. `id` is that of their `Person`; `email` is empty when unknown."""

    id: str
    name: str
    email: str = field(repr=False)


class Directory(Protocol):
    """Knows who is in which group."""

    def members(self, group: str) -> Sequence[Addressee]:
        """The people of a group, by the name that definitions use; none for an unknown group.

        Raises `Unavailable` when it cannot be found out now.
        """
        ...


class EmptyDirectory:
    """A directory that knows nobody."""

    def members(self, group: str) -> Sequence[Addressee]:
        """Nobody."""
        return ()
