"""What pages see of a request, and what they answer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import azure.functions as func

from commands.deployment import Deployment
from commands.orchestrations import Orchestrations
from commands.permissions import permit
from console.door import Door
from console.forms import read_form
from console.rendering import Rendering
from console.statics import Statics
from console.tokens import Browser, FormTokens
from kernel.errors import Forbidden, NotFound
from kernel.links import Links
from kernel.people import Person

TOKEN, LINK = "token", "t"
_LONGEST_LINK = 200


@dataclass(frozen=True)
class Site:
    """What all pages work with."""

    deployment: Deployment
    door: Door
    links: Links
    tokens: FormTokens
    statics: Statics
    rendering: Rendering


def is_secure(request: func.HttpRequest) -> bool:
    """Whether the browser came over HTTPS, as the platform's front end has it in the address."""
    address: str = request.url
    return address.lower().startswith("https:")


@dataclass(frozen=True)
class Visit:
    """One request."""

    http: func.HttpRequest
    site: Site
    orchestrations: Orchestrations

    @property
    def deployment(self) -> Deployment:
        """What commands work with."""
        return self.site.deployment

    @cached_property
    def person(self) -> Person:
        """Who visits; raises `Unauthenticated` when that is not known."""
        return self.site.door.identify(self.http)

    @cached_property
    def browser(self) -> Browser:
        """With what they visit."""
        secure = is_secure(self.http)
        return self.site.tokens.browser(self.http.headers.get("Cookie") or "", secure=secure)

    @cached_property
    def now(self) -> datetime:
        """When."""
        return self.deployment.clock()

    @property
    def looks(self) -> bool:
        """Whether somebody gets to see the page: HEAD asks only whether it is there."""
        method: str = self.http.method
        return method.upper() == "GET"

    def id(self, name: str) -> UUID:
        """A part of the route that is an id; `NotFound` when it cannot be one."""
        try:
            return UUID(str(self.http.route_params.get(name, "")))
        except ValueError as exc:
            raise NotFound("There is nothing at this address. Has it been copied whole?") from exc

    def query(self, name: str) -> str:
        """A query parameter; empty when it is missing. What is no text is left out."""
        return str(self.http.params.get(name) or "").encode("utf-8", "ignore").decode().replace("\0", "")

    def form(self, names: Collection[str], subject: str, person: str | None = None) -> Mapping[str, str]:
        """The fields of a form that one of our pages made about `subject`, for this person or the one given.
        Raises `Forbidden` for every other."""
        self.site.door.refuse_foreign(self.http)
        owner = self.person.id if person is None else person
        sent = read_form(self.http, {*names, TOKEN, LINK})
        self.site.tokens.check(sent[TOKEN], self.browser.id, owner, subject, self.now)
        return sent

    def token(self, subject: str, person: str | None = None) -> str:
        """The token for a form about `subject`."""
        owner = self.person.id if person is None else person
        return self.site.tokens.make(self.browser.id, owner, subject, self.now)

    def link(self, given: str, approval_id: UUID) -> UUID | None:
        """The message whose link led here. It tells how somebody came, not who they are or what they may."""
        return self.site.links.read_link(given, approval_id) if len(given) <= _LONGEST_LINK else None

    def may(self, command: str) -> bool:
        """Whether the visitor's roles are enough for a command."""
        try:
            permit(self.person, command)
        except Forbidden:
            return False
        return True


@dataclass(frozen=True)
class Page:
    """A page of HTML: a template and what stands in it."""

    template: str
    content: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Elsewhere:
    """Look there now (303)."""

    address: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Download:
    """A file to keep."""

    name: str
    kind: str
    data: bytes


type Answer = Page | Elsewhere | Download
