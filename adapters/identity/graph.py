"""Groups of Entra ID by Microsoft Graph.

`POST /users/{id}/checkMemberGroups` and `GET /groups/{id}/transitiveMembers`: both count nested groups. The
deployment's identity needs the application permission `GroupMember.Read.All`, and `User.ReadBasic.All` for
names and mail addresses: learn.microsoft.com/graph/api/directoryobject-checkmembergroups,
learn.microsoft.com/graph/api/group-list-transitivemembers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import batched
from typing import Any
from urllib.parse import quote, urlsplit

from adapters.entra_tokens import Tokens
from adapters.identity.documents import Documents
from kernel.errors import AuthenticationFailed, Unavailable
from kernel.people import Addressee
from kernel.timed import TimedCache

REMEMBERED_SECONDS = 300.0
"""For how long someone who has left a group still counts as a member."""
_CHECKED_AT_ONCE = 20
_MAX_PAGES = 100


class GraphDirectory:
    """Who is in which group. `groups` has Entra's ids by the names that definitions use."""

    def __init__(
        self, base: str, tokens: Tokens, groups: Mapping[str, str],
        remembered: Callable[[], "TimedCache[str, Any]"] = lambda: TimedCache(REMEMBERED_SECONDS),
    ) -> None:  # fmt: skip
        self._base, self._tokens, self._groups = base, tokens, groups
        self._documents = Documents("Microsoft Graph")
        self._memberships: TimedCache[str, frozenset[str]] = remembered()
        self._members: TimedCache[str, Sequence[Addressee]] = remembered()

    def groups_of(self, user: str) -> frozenset[str]:
        """Which of the groups a user is in, by Entra's ids. Raises `Unavailable`."""
        return self._memberships.get(user, lambda: frozenset(self._checked(user)))

    def members(self, group: str) -> Sequence[Addressee]:
        """The people of a group, those of groups within it included. Raises `Unavailable`."""
        if group not in self._groups:
            return ()
        return self._members.get(group, lambda: list(self._listed(self._groups[group])))

    def _checked(self, user: str) -> Iterator[str]:
        url = f"{self._base}/v1.0/users/{quote(user, safe='')}/checkMemberGroups"
        for ids in batched(sorted(set(self._groups.values())), _CHECKED_AT_ONCE, strict=False):
            given = self._documents.post(url, {"groupIds": list(ids)}, self._headers())
            yield from map(str, _items(given))

    def _listed(self, group: str) -> Iterator[Addressee]:
        """Casting to users wants the header and `$count` (advanced queries on directory objects)."""
        url = (
            f"{self._base}/v1.0/groups/{quote(group, safe='')}/transitiveMembers/microsoft.graph.user"
            "?$select=id,displayName,mail&$count=true&$top=999"
        )
        for _ in range(_MAX_PAGES):
            given = self._documents.get(url, {**self._headers(), "ConsistencyLevel": "eventual"})
            for user in _items(given):
                yield Addressee(f"entra:{user['id']}", user.get("displayName") or "", user.get("mail") or "")
            if "@odata.nextLink" not in given:
                return
            url = self._own(str(given["@odata.nextLink"]))
        raise Unavailable(f"The group {group} has too many members; name a smaller one in SLUICE_GROUPS.")

    def _own(self, url: str) -> str:
        """The token goes to Graph and nowhere else."""
        if urlsplit(url)[:2] != urlsplit(self._base)[:2]:
            raise Unavailable("Microsoft Graph leads to another host for more members; that is not followed.")
        return url

    def _headers(self) -> dict[str, str]:
        try:
            return {"Authorization": f"Bearer {self._tokens().reveal()}"}
        except AuthenticationFailed as exc:
            raise Unavailable(exc.message, retry_after=60) from exc


def _items(given: Mapping[str, Any]) -> list[Any]:
    value = given.get("value")
    if not isinstance(value, list):
        raise Unavailable("Microsoft Graph did not answer with a list.", retry_after=60)
    return value
