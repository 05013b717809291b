"""Test people on a machine of one's own: named by a header, or signed in on a page."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import azure.functions as func

from kernel.clock import Clock
from kernel.errors import Unauthenticated
from kernel.people import Person
from kernel.places import is_loopback
from triggers.identity.origins import refuse_foreign_origin
from triggers.identity.sessions import Sessions

PERSON_HEADER = "X-Sluice-Person"


class LocalPeople:
    """People by short name; they count only in requests that come from this machine to this machine."""

    def __init__(self, people: Mapping[str, Person], sessions: Sessions, clock: Clock) -> None:
        self.people = people
        self._sessions = sessions
        self._clock = clock

    def __call__(self, request: func.HttpRequest) -> Person | None:
        """Whom the request names, if it names anybody. Raises `Unauthenticated` for one who is unknown."""
        named = request.headers.get(PERSON_HEADER)
        if named is not None:
            return self._known(request, named)
        session = self._sessions.read(request.headers.get("Cookie") or "", self._clock())
        if session is None:
            return None
        refuse_foreign_origin(request)
        return self._known(request, session.person)

    def begin(self, request: func.HttpRequest, name: str) -> str:
        """The `Set-Cookie` header that signs a person in. Raises `Unauthenticated` for one who is unknown."""
        self._known(request, name)
        return self._sessions.begin(name, self._clock())

    def end(self) -> str:
        """The `Set-Cookie` header that signs whoever it is out."""
        return self._sessions.end()

    def _known(self, request: func.HttpRequest, name: str) -> Person:
        if not came_from_here(request):
            raise Unauthenticated("Test people count only in requests from this machine to itself.")
        if name not in self.people:
            raise Unauthenticated(
                f"There is no test person {name[:40]!r}; there are {', '.join(self.people)}."
            )
        return self.people[name]


def came_from_here(request: func.HttpRequest) -> bool:
    """Whether the request is addressed to a loopback address, and neither a proxy nor a browser says that it
    comes from elsewhere.

    The address keeps out pages that a browser was led to under a foreign name (DNS rebinding), the origin
    those that CORS lets in.
    """
    hosts = {request.headers.get("Host"), urlsplit(request.url).netloc} - {None, ""}
    named = [urlsplit(f"//{host}").hostname or "" for host in hosts]
    if (origin := request.headers.get("Origin")) is not None:
        named.append(urlsplit(origin).hostname or "")
    forwarded = (request.headers.get("X-Forwarded-For") or "").split(",")
    others = [address.strip() for address in forwarded if address.strip()]
    return bool(named) and all(map(is_loopback, [*named, *others]))
