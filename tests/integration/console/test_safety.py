"""What keeps a page from being used against whoever looks at it."""

from dataclasses import replace
from datetime import datetime
from itertools import product
from urllib.parse import urlencode

import pytest

from console.forms import MAX_BYTES
from console.shell import SECURITY
from tests.integration.console.conftest import Waiting
from tests.integration.console.test_deciding import begun, decided, page
from tests.integration.console.visitor import visitor
from tests.support.approvals import CARLA, CONRAD, skip
from tests.support.world import World

FORM = "application/x-www-form-urlencoded"


def test_every_answer_has_the_headers_that_protect_it(waiting: Waiting) -> None:
    address = waiting.address
    carla = visitor(waiting.world, CARLA)
    nobody = visitor(waiting.world, None)
    addresses = (
        address,
        "/approvals",
        f"{address}/lines.csv?step=post",
        f"{address}/confirm",
        "/approvals/1",
    )
    for who, method, one in product((carla, nobody), ("GET", "HEAD", "POST", "DELETE"), addresses):
        reply = who.ask(method, one)
        assert SECURITY.items() <= reply.headers.items(), (method, one)
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Strict-Transport-Security"]
    policy = SECURITY["Content-Security-Policy"]
    assert "unsafe" not in policy
    for part in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
        assert part in policy


def test_no_page_needs_what_its_policy_forbids(waiting: Waiting) -> None:
    address = waiting.address
    carla = visitor(waiting.world, CARLA)
    shown = [carla.open(address), carla.open("/approvals"), begun(carla, address, "approve")]
    for reply in (*shown, visitor(waiting.world, None).open(address), carla.open("/approvals/1")):
        assert "<script>" not in reply.text
        assert " style=" not in reply.text
        assert "<style" not in reply.text
        assert " onclick" not in reply.text
        assert "http://" not in reply.text.replace("http://www.w3.org", "")


def test_the_cookie_of_forms_is_for_this_site_only(waiting: Waiting) -> None:
    cookie = visitor(waiting.world, CARLA).ask("GET", "/approvals").headers["Set-Cookie"]
    assert cookie.startswith("__Host-sluice-form=")
    assert {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"} <= set(cookie.split("; "))
    plain = visitor(waiting.world, CARLA)
    plain.scheme = "http"
    assert plain.ask("GET", "/approvals").headers["Set-Cookie"].startswith("sluice-form=")


def test_a_form_counts_for_one_browser_person_and_request_only(waiting: Waiting) -> None:
    address = waiting.address
    carla = visitor(waiting.world, CARLA)
    first = carla.open(address).form("/confirm")
    last = begun(carla, address, "approve").form("/decision")
    foreign = visitor(waiting.world, CARLA)
    foreign.open(address)
    conrad = replace(carla, cookies=dict(carla.cookies))
    other = first.action.replace(address[-4:], "0000")
    for who, form in (
        (foreign, first), (foreign, last),
        (carla, replace(first, fields={"token": ""})),
        (carla, replace(last, fields={**last.fields, "token": last.fields["token"][:-2] + "AA"})),
        (carla, replace(last, fields={**last.fields, "token": "9" + last.fields["token"]})),
        (carla, replace(first, action=other)),
    ):  # fmt: skip
        reply = who.send(form, decision="approve")
        assert reply.status == 403, form
        assert "The form was not made for you here" in reply.words
    carla.person = CONRAD
    assert conrad.send(last).status == 403
    assert decided(waiting.world) == []


def test_forms_from_other_sites_are_refused(waiting: Waiting) -> None:
    address = waiting.address
    carla = visitor(waiting.world, CARLA)
    form = begun(carla, address, "approve").form("/decision")
    data = urlencode(form.fields).encode()
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        assert carla.ask("POST", form.action, data, {"Content-Type": FORM, **headers}).status == 403
    assert decided(waiting.world) == []
    own, reject = {"Content-Type": FORM, "Origin": "https://sluice.example"}, {"decision": "reject"}
    first = urlencode({**carla.open(address).form("/confirm").fields, **reject}).encode()
    assert carla.ask("POST", f"{address}/confirm", first, own).status == 422, "read, and refused for itself"


def test_a_form_that_stood_open_for_hours_keeps_what_was_typed(world: World) -> None:
    address, carla = page(world), visitor(world, CARLA)
    form = carla.open(address).form("/confirm")
    skip(world, hours=5)
    reply = carla.send(form, decision="reject", reason="The wrong <week>")
    assert reply.status == 403
    assert "The form stood open for too long" in reply.words
    again = reply.form("/confirm")
    assert again.fields["reason"] == "The wrong <week>"
    assert carla.send(again, decision="reject").status == 200
    assert decided(world) == []


@pytest.mark.parametrize(
    ("kind", "data", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data; boundary=x", b"--x", 415),
        ("", b"token=x", 415),
        (FORM, b"token=x&" + b"a" * MAX_BYTES, 413),
        (FORM, b"token=x&token=y", 400),
        (FORM, b"token=x&admin=1", 400),
        (FORM, b"token=%ff", 400),
        (FORM, b"token=\xff", 400),
        (FORM, b"reason=%00", 400),
        (FORM, b"token", 400),
        (FORM, b"&".join(b"a%d=1" % number for number in range(50)), 400),
        (FORM, b"", 403),
        (FORM + "; charset=utf-8", b"token=x&decision=approve&reason=", 403),
    ],
)
def test_what_no_form_of_ours_sends_is_refused_in_words(
    waiting: Waiting, kind: str, data: bytes, status: int
) -> None:
    address = waiting.address
    carla = visitor(waiting.world, CARLA)
    for ending in ("confirm", "decision"):
        reply = carla.ask("POST", f"{address}/{ending}", data, {"Content-Type": kind})
        assert reply.status == status
        assert reply.headers["X-Request-Id"] in reply.words
    assert decided(waiting.world) == []


def test_what_goes_wrong_inside_is_not_told(waiting: Waiting, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> datetime:
        raise ZeroDivisionError("s3cret")

    carla = visitor(waiting.world, CARLA)
    carla.site = replace(carla.site, deployment=replace(carla.site.deployment, clock=broken))
    reply = carla.ask("GET", "/approvals")
    assert reply.status == 500
    assert "s3cret" not in reply.text
    assert reply.headers["X-Request-Id"] in reply.words
    assert "ZeroDivisionError" in caplog.text


def test_static_files_are_kept_for_ever_and_nothing_else_is_served(waiting: Waiting) -> None:
    carla = visitor(waiting.world, None)
    css = carla.site.statics.address("console.css")
    reply = carla.ask("GET", css)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in reply.headers["Cache-Control"]
    assert carla.ask("HEAD", css).body == b""
    for wrong in ("console.css", "..%2fblueprint.py", "../../kernel/settings.py", css[8:-3] + "js", "%00"):
        refused = carla.ask("GET", f"/static/{wrong}")
        assert (refused.status, refused.body, refused.headers["Cache-Control"]) == (404, b"", "no-store")
