"""Groups by Microsoft Graph, as its documentation describes requests and answers."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.identity.graph import REMEMBERED_SECONDS, GraphDirectory
from kernel.errors import AuthenticationFailed, Unavailable
from kernel.people import Addressee
from kernel.secrets import Secret
from kernel.timed import TimedCache
from tests.support.answering import Answering, Asked, Reply

USER = "7d000000-0000-4000-8000-000000000007"
FINANCE = "9a000000-0000-4000-8000-000000000009"
CHECK = f"/v1.0/users/{USER}/checkMemberGroups"
MEMBERS = f"/v1.0/groups/{FINANCE}/transitiveMembers/microsoft.graph.user"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def directory(server: Answering, clock: Clock | None = None, groups: int = 1) -> GraphDirectory:
    named = {
        "finance": FINANCE,
        **{f"group-{n}": f"{n:08}-0000-4000-8000-000000000000" for n in range(1, groups)},
    }

    def remembered() -> TimedCache[str, Any]:
        return TimedCache(REMEMBERED_SECONDS, monotonic=clock or Clock())

    return GraphDirectory(server.url, lambda: Secret("t0ken"), named, remembered)


def check(asked: Asked) -> Reply:
    """Graph answers with those of the groups that the user is in; it takes 20 at most."""
    assert asked.headers["Authorization"] == "Bearer t0ken"
    ids: Sequence[str] = asked.body["groupIds"]
    return (200, {"value": [one for one in ids if one == FINANCE]}) if len(ids) <= 20 else (400, {})


def test_membership_is_asked_for_in_portions_and_remembered_for_five_minutes(server: Answering) -> None:
    server.replies[CHECK] = check
    clock = Clock()
    graph = directory(server, clock, groups=45)
    assert graph.groups_of(USER) == graph.groups_of(USER) == {FINANCE}
    assert server.count(CHECK) == 3
    clock.now += REMEMBERED_SECONDS + 1
    server.replies[CHECK] = lambda _asked: (200, {"value": []})
    assert graph.groups_of(USER) == set()
    assert server.count(CHECK) == 6


def test_members_come_page_by_page(server: Answering) -> None:
    def members(asked: Asked) -> Reply:
        query = parse_qs(urlsplit(asked.path).query)
        assert (
            asked.headers["Consistencylevel" if "Consistencylevel" in asked.headers else "ConsistencyLevel"]
            == "eventual"
        )
        if "$skiptoken" in query:
            return 200, {"value": [{"id": "2", "displayName": "Bob", "mail": None}]}
        assert (query["$count"], query["$select"]) == (["true"], ["id,displayName,mail"])
        following = f"{server.url}{MEMBERS}?$count=true&$skiptoken=x"
        return 200, {
            "@odata.nextLink": following,
            "value": [{"id": "1", "displayName": "Ann", "mail": "ann@example.com"}],
        }

    server.replies[MEMBERS] = members
    graph = directory(server)
    assert graph.members("finance") == [
        Addressee("entra:1", "Ann", "ann@example.com"),
        Addressee("entra:2", "Bob", ""),
    ]
    assert graph.members("finance")
    assert server.count(MEMBERS) == 2
    assert graph.members("nobody knows") == ()


@pytest.mark.parametrize(
    "answer", [(403, {}), (404, {}), (500, {}), (200, b"no json"), (200, []), (200, {"value": 1})]
)
def test_what_cannot_be_found_out_is_denied_and_asked_again(server: Answering, answer: Reply) -> None:
    server.replies[CHECK] = server.replies[MEMBERS] = lambda _asked: answer
    graph = directory(server)
    for _ in range(2):
        with pytest.raises(Unavailable):
            graph.groups_of(USER)
        with pytest.raises(Unavailable):
            graph.members("finance")
    assert server.count(CHECK) == 2


def test_how_long_to_wait_is_passed_on(server: Answering) -> None:
    server.replies[CHECK] = lambda _asked: (429, {})
    with pytest.raises(Unavailable) as caught:
        directory(server).groups_of(USER)
    assert caught.value.retry_after == 17


def test_the_token_goes_nowhere_else(server: Answering) -> None:
    elsewhere = {"@odata.nextLink": "https://evil.example.com/more", "value": []}
    server.replies[MEMBERS] = lambda _asked: (200, elsewhere)
    with pytest.raises(Unavailable, match="another host"):
        directory(server).members("finance")
    server.replies[CHECK] = lambda _asked: (302, {})
    with pytest.raises(Unavailable, match="302"):
        directory(server).groups_of(USER)


def test_no_graph_and_no_identity_are_told() -> None:
    def nobody() -> Secret:
        raise AuthenticationFailed("There is no identity.")

    for graph, words in (
        (GraphDirectory("http://127.0.0.1:9", lambda: Secret("t"), {"finance": FINANCE}), "not reachable"),
        (GraphDirectory("http://graph.example.com", lambda: Secret("t"), {"finance": FINANCE}), "https://"),
        (GraphDirectory("http://127.0.0.1:9", nobody, {"finance": FINANCE}), "no identity"),
    ):
        with pytest.raises(Unavailable, match=words):
            graph.groups_of(USER)
