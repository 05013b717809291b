"""A browser without a browser: asks the pages of a world, keeps cookies, fills in forms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

import azure.functions as func

from console.blueprint import ROUTES, site_of
from console.door import Door
from console.shell import Route, respond, served
from console.visit import Site, Visit
from kernel.errors import Unauthenticated
from kernel.links import Links
from kernel.people import Person
from kernel.secrets import Secret
from store.people import note_seen
from tests.support.world import Unstarted, World
from triggers.addresses import client_address
from triggers.identity.origins import refuse_foreign_origin

KEY = Secret("a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=")
LINKS = Links("https://sluice.example", (KEY,))
HOST = "sluice.example"


@dataclass(frozen=True)
class Form:
    """A form of a page: where it goes, and what stands in it. `buttons` are names and values to press."""

    action: str
    method: str
    fields: Mapping[str, str]
    buttons: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str
    body: bytes

    @property
    def forms(self) -> list[Form]:
        """The forms of the page, in order."""
        return _Forms(self.text).found

    def form(self, ending: str) -> Form:
        """The form that goes to an address with this ending."""
        [found] = [form for form in self.forms if form.action.endswith(ending)]
        return found

    @property
    def words(self) -> str:
        """What a person reads, without line breaks."""
        words = " ".join(_Words(self.text).found.split())
        return words.replace(" ,", ",").replace(" .", ".")


@dataclass
class Visitor:
    """Somebody with a browser of their own."""

    site: Site
    person: Person | None
    orchestrations: Unstarted = field(default_factory=Unstarted)
    cookies: dict[str, str] = field(default_factory=dict)
    scheme: str = "https"
    host: str = HOST

    def ask(
        self, method: str, address: str, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request, as it is; cookies are sent and kept."""
        route, _ = _route(urlsplit(address).path)
        visit = self.visit(method, address, data, headers)
        response = served(visit) if route is None else respond(route, visit)
        self._keep(response.headers.get("Set-Cookie"))
        body: bytes = response.get_body()
        return Reply(response.status_code, dict(response.headers), body.decode("utf-8", "replace"), body)

    def visit(
        self, method: str, address: str, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Visit:
        """The request as pages see it."""
        parts = urlsplit(address)
        request = func.HttpRequest(
            method=method, url=f"{self.scheme}://{self.host}{address}", body=data,
            route_params=_route(parts.path)[1], params=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={"Host": self.host, "Cookie": self._cookie(), **(headers or {})},
        )  # fmt: skip
        return Visit(request, self.site, self.orchestrations)

    def open(self, address: str) -> Reply:
        """Look at a page, following where it leads."""
        reply = self.ask("GET", address)
        return self.open(reply.headers["Location"].partition("#")[0]) if reply.status == 303 else reply

    def send(self, form: Form, **typed: str) -> Reply:
        """Send a form with what was typed or pressed, as a browser does."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        return self.ask("POST", form.action, urlencode({**form.fields, **typed}).encode(), headers)

    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _keep(self, header: str | None) -> None:
        for name, morsel in SimpleCookie(header or "").items():
            self.cookies[name] = morsel.value


def site(world: World, who: Callable[[], Person | None], *, platform: bool = True) -> Site:
    """The pages of a world."""

    def identify(_request: func.HttpRequest) -> Person:
        person = who()
        if person is None:
            raise Unauthenticated("Nobody has signed in for this request.")
        return person

    door = Door(identify, client_address, refuse_foreign_origin, None, platform)
    return site_of(world.deployment, door, LINKS, KEY, ZoneInfo("UTC"))


def visitor(world: World, person: Person | None) -> Visitor:
    """Somebody who has signed in, or has not."""
    made = Visitor(site(world, lambda: made.person), person)
    if person is not None:
        with world.deployment.database.transaction("test") as connection:
            note_seen(connection, person, world.deployment.clock())
    return made


def _route(path: str) -> tuple[Route | None, dict[str, str]]:
    parts = path.strip("/").split("/")
    for route in ROUTES:
        pattern = route.path.split("/")
        if len(pattern) == len(parts) and all(
            one.startswith("{") or one == part for one, part in zip(pattern, parts, strict=True)
        ):
            names = zip(pattern, parts, strict=True)
            return route, {one.strip("{}"): part for one, part in names if one.startswith("{")}
    assert parts[0] == "static", f"no page at {path}"
    return None, {"name": parts[-1]}


class _Forms(HTMLParser):
    """Collects forms."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._area: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given["action"], given["method"], {}, ()))
        elif tag in ("input", "textarea") and self.found and given.get("name"):
            self._fields()[given["name"]] = given.get("value", "")
            self._area = given["name"] if tag == "textarea" else None
        elif tag == "button" and self.found and given.get("name"):
            last = self.found[-1]
            pressed = (*last.buttons, (given["name"], given["value"]))
            self.found[-1] = Form(last.action, last.method, last.fields, pressed)

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._fields()[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = None

    def _fields(self) -> dict[str, Any]:
        fields = self.found[-1].fields
        assert isinstance(fields, dict)
        return fields


class _Words(HTMLParser):
    """Collects what is read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found = ""
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.found += f" {data}"
