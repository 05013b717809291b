"""A browser as small as can be: pages, their forms, and cookies. What it sends is what a person would."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import httpx2

from kernel.errors import Unavailable

_TIMEOUT_SECONDS = 60.0


@dataclass
class Form:
    """A form of a page: where it goes, its fields as they stand, and its buttons as (name, value)."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    choices: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """A page that came."""

    address: str
    status: int
    text: str

    def form_with(self, name: str, value: str) -> Form:
        """The form that offers this choice; `Unavailable` when there is none."""
        form = self.offer(name, value)
        if form is None:
            raise Unavailable(f"The page at {self.address.partition('?')[0]} offers no {name} {value!r}.")
        return form

    def offer(self, name: str, value: str) -> Form | None:
        """The form that offers this choice, by button or field, if there is one."""
        found = (
            form
            for form in forms_of(self.text)
            if (name, value) in form.choices or form.fields.get(name) == value
        )
        return next(found, None)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("method", "get").lower() == "post":
            self.forms.append(Form(given.get("action", "")))
            self._inside = True
        elif tag in ("input", "button", "textarea") and self._inside and given.get("name"):
            self._take(tag, given)

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"

    def _take(self, tag: str, given: Mapping[str, str]) -> None:
        name, value = given["name"], given.get("value", "")
        if tag == "button" or given.get("type") in ("submit", "radio", "checkbox"):
            self.forms[-1].choices.append((name, value))
        else:
            self.forms[-1].fields[name] = value


def forms_of(page: str) -> list[Form]:
    """The forms of a page that send something."""
    parser = _Forms()
    parser.feed(page)
    return parser.forms


class Browser:
    """Gets pages and sends their forms. Raises `Unavailable` when nobody answers."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        headers = {"User-Agent": "sluice-demo"}
        self._http = httpx2.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=True, headers=headers)

    def open(self, address: str, method: str = "GET") -> Shown:
        """A page, with whoever has signed in."""
        return self._ask(method, urljoin(self._base_url, address))

    def send(self, page: Shown, form: Form, **chosen: str) -> Shown:
        """Send a form with its fields and what is chosen or written into it."""
        address = urljoin(page.address, form.action)
        return self._ask("POST", address, data={**form.fields, **chosen})

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _ask(self, method: str, address: str, **content: Any) -> Shown:
        origin = {"Origin": self._base_url, "Sec-Fetch-Site": "same-origin"} if method == "POST" else {}
        try:
            answer = self._http.request(method, address, headers=origin, **content)
        except httpx2.TransportError as exc:
            raise Unavailable(f"{self._base_url} stopped answering ({type(exc).__name__}).") from exc
        return Shown(str(answer.url), answer.status_code, answer.text)
