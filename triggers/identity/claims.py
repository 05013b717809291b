"""People of Entra ID, from what is claimed about them by someone who may."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from kernel.errors import Unauthenticated
from kernel.people import Person, Role

type GroupsOf = Callable[[str], frozenset[str]]
"""Ids of the groups that a user, by object id, is in."""


@dataclass(frozen=True)
class Claims:
    """What is claimed. `roles` are values of app roles, `groups` ids of groups.

    `overage`: they are in more groups than a token holds (200), and it has none of them:
    learn.microsoft.com/entra/identity-platform/access-token-claims-reference#groups-overage-claim.
    """

    object_id: str
    tenant: str
    name: str = ""
    email: str = field(default="", repr=False)
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    overage: bool = False
    machine: bool = False


@dataclass(frozen=True)
class EntraPeople:
    """Makes persons of claims. `home` is the tenant whose groups can be asked for, `tenants` are all whose
    people may come; `groups` has ids by name, `roles` the role that a group or an app role gives."""

    home: str
    tenants: frozenset[str]
    groups: Mapping[str, str]
    roles: Mapping[str, Role]
    groups_of: GroupsOf

    def check_tenant(self, tenant: str) -> None:
        """Raise `Unauthenticated` for people of a tenant that is not allowed."""
        if tenant not in self.tenants:
            raise Unauthenticated("People of your organisation's tenant may not come here.")

    def person(self, claims: Claims) -> Person:
        """The person. Raises `Unauthenticated` for a foreign tenant, and `Unavailable` when their groups
        cannot be found out now: without them too much or too little might be allowed."""
        self.check_tenant(claims.tenant)
        ids = claims.groups | self._beyond(claims)
        names = {name for name, group in self.groups.items() if group in ids} | claims.roles
        return Person(
            f"entra:{claims.object_id}", claims.name or claims.object_id, claims.email,
            frozenset(self._roles(names, claims.roles)), frozenset(names), machine=claims.machine,
        )  # fmt: skip

    def _beyond(self, claims: Claims) -> frozenset[str]:
        askable = claims.overage and self.groups and claims.tenant == self.home
        return self.groups_of(claims.object_id) if askable else frozenset()

    def _roles(self, names: set[str], app_roles: frozenset[str]) -> Iterator[Role]:
        """App roles count by their value; groups only where the settings say so."""
        yield from (Role(value) for value in app_roles if value in list(Role))
        yield from (self.roles[name] for name in names if name in self.roles)
