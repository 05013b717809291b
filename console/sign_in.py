"""Signing in: on a page of ours on a machine of one's own, in Azure on the platform's."""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from console.door import SignIn
from console.visit import Answer, Elsewhere, Page, Visit
from kernel.errors import NotFound, Unauthenticated

HOME = "/approvals"
_SUBJECT, _NOBODY = "sign in", ""
_PLATFORM = "/.auth/login/aad?post_login_redirect_uri="
_OURS = re.compile(r"/approvals(/[0-9a-fA-F-]{36}(/lines\.csv)?)?(\?[\w.~%&=+-]*)?", re.ASCII)


def return_address(given: str) -> str:
    """An address of ours to go back to; the list of requests for every other, wherever that would lead."""
    return given if _OURS.fullmatch(given) else HOME


def here(visit: Visit) -> str:
    """The page that the visitor wanted, with its query. What they sent by a form is not kept."""
    address = urlsplit(visit.http.url)
    path = address.path if visit.http.method.upper() in ("GET", "HEAD") else _parent(address.path)
    return return_address(f"{path}?{address.query}" if address.query else path)


def _parent(path: str) -> str:
    return re.sub(r"/(confirm|decision|comments|reassignment)$", "", path)


def asking_to_sign_in(visit: Visit, why: Unauthenticated) -> Page:
    """What somebody sees who has not signed in, whatever they wanted."""
    return _page(visit, here(visit), 401, why.message, {"WWW-Authenticate": 'Bearer realm="sluice"'})


def show(visit: Visit) -> Answer:
    """The people who may sign in here."""
    _local(visit)
    return _page(visit, return_address(visit.query("next")), 200, "", {})


def sign_in(visit: Visit) -> Answer:
    """Begin a session."""
    door = _local(visit)
    sent = visit.form({"person", "next"}, _SUBJECT, _NOBODY)
    return Elsewhere(return_address(sent["next"]), {"Set-Cookie": door.begin(visit.http, sent["person"])})


def sign_out(visit: Visit) -> Answer:
    """End a session."""
    door = _local(visit)
    visit.form((), "sign out")
    return Elsewhere("/sign-in", {"Set-Cookie": door.end()})


def _local(visit: Visit) -> SignIn:
    if visit.site.door.sign_in is None:
        raise NotFound("There is no signing in at this address.")
    return visit.site.door.sign_in


def _page(visit: Visit, back: str, status: int, why: str, headers: Mapping[str, str]) -> Page:
    door = visit.site.door
    content = {
        "back": back,
        "why": why,
        "people": door.sign_in.people if door.sign_in else {},
        "platform": f"{_PLATFORM}{quote(back, safe='')}" if door.platform else None,
        "token": visit.token(_SUBJECT, _NOBODY),
        "about_request": back.startswith("/approvals/"),
        "visitor": None,
        "sign_out": None,
    }
    return Page("sign_in.html", content, status, headers)
