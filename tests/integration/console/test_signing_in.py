"""Signing in as a test person on one's own machine, and never anywhere else than where one came from."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from console.sign_in import HOME, return_address
from kernel.people import Person
from tests.integration.console.conftest import Waiting
from tests.integration.console.visitor import KEY, Visitor, site
from tests.support.approvals import CARLA, FRED
from triggers.identity.callers import Callers
from triggers.identity.local import LocalPeople
from triggers.identity.sessions import Sessions

HERE = "127.0.0.1:7071"
ID = "01900000-0000-7000-8000-000000000001"


def nobody_yet(waiting: Waiting, host: str = HERE) -> Visitor:
    """A browser on the machine of the application."""
    people = {"carla": CARLA, "fred": FRED}
    local = LocalPeople(people, Sessions(KEY), lambda: datetime.now(UTC))
    made = site(waiting.world, lambda: None, platform=False)
    door = replace(made.door, identify=Callers([local], "Sign in."), sign_in=local)
    return Visitor(replace(made, door=door), None, scheme="http", host=host)


def name(who: Visitor) -> str:
    """Whom the head of the page names."""
    return who.open("/approvals").words.partition("Signed in as ")[2].partition(" ")[0]


def test_whoever_signs_in_comes_back_and_can_leave(waiting: Waiting) -> None:
    who = nobody_yet(waiting)
    shown = who.ask("GET", f"{waiting.address}?t=abc")
    assert (shown.status, "Sign in to see this request" in shown.words) == (401, True)
    form = shown.form("/sign-in")
    assert form.buttons == (("person", "carla"), ("person", "fred"))
    done = who.send(form, person="carla")
    assert (done.status, done.headers["Location"]) == (303, f"{waiting.address}?t=abc")
    assert "HttpOnly" in done.headers["Set-Cookie"]
    assert name(who) == "Carla"
    left = who.send(who.open(waiting.address).form("/sign-out"))
    assert (left.status, left.headers["Location"]) == (303, "/sign-in")
    assert who.ask("GET", waiting.address).status == 401


def test_nobody_can_be_signed_in_by_another_page(waiting: Waiting) -> None:
    who = nobody_yet(waiting)
    form = who.ask("GET", "/sign-in").form("/sign-in")
    other = nobody_yet(waiting)
    for sender, sent in ((other, form), (who, replace(form, fields={"token": "x", "next": "/"}))):
        assert sender.send(sent, person="carla").status == 403
    assert who.send(form, person="mallory").status == 401
    assert who.ask("GET", "/approvals").status == 401


def test_there_are_no_test_people_for_other_machines(waiting: Waiting) -> None:
    who = nobody_yet(waiting, host="sluice.example")
    form = who.ask("GET", "/sign-in").form("/sign-in")
    assert who.send(form, person="carla").status == 401
    assert who.ask("GET", "/approvals").status == 401


def test_where_the_platform_signs_in_there_is_no_page_for_it(waiting: Waiting) -> None:
    person: Person | None = None
    who = Visitor(site(waiting.world, lambda: person), None)
    for method in ("GET", "POST"):
        assert who.ask(method, "/sign-in").status == 404
    assert who.ask("POST", "/sign-out").status == 404
    person = CARLA
    assert 'href="/.auth/logout"' in who.ask("GET", waiting.address).text


@pytest.mark.parametrize(
    "address",
    [f"/approvals/{ID}", f"/approvals/{ID}?t=a-_1", "/approvals", "/approvals?view=decided&state=approved"],
)
def test_one_comes_back_to_pages_of_ours(address: str) -> None:
    assert return_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "", "/", "//evil.example", "https://evil.example/approvals", "/\\evil.example", "/approvals/../x",
        "/approvals\n", "/approvals//evil.example", f"/approvals/{ID}/confirm", "/approvals?x=//evil.example",
        f"/approvals/{ID}#x", "javascript:alert(1)", "/approvals\r\nSet-Cookie: a=b",
        f"/approvals/{ID}?t=\u0661",         "/.auth/logout", "/api/approvals",
    ],
)  # fmt: skip
def test_and_nowhere_else(address: str) -> None:
    assert return_address(address) == HOME
