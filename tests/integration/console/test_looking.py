"""Looking changes nothing, whoever looks and however often; only who has seen a request is written down."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from psycopg import sql

from activities.notify import deliver
from activities.notifying.postbox import Postbox
from adapters.comms.mail_rendering import MailRendering
from console.blueprint import ROUTES
from kernel.people import Addressee
from tests.integration.console.conftest import Waiting
from tests.integration.console.visitor import HOST, LINKS, Visitor, visitor
from tests.support.approvals import CARLA, CONTROLLERS, FRED, asked, suspended
from tests.support.outbox import People, Room
from tests.support.world import World

SCANNERS = (
    "Mozilla/5.0 (compatible; Microsoft Defender SafeLinks)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) SkypeUriPreview Preview/0.5",
    "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0) BarracudaNetworks",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Proofpoint URL Defense)",
    "Mimecast-URL-Protect/1.0",
    "Mozilla/5.0 (X11; Linux x64) AppleWebKit/537.36 HeadlessChrome/156.0 Safari/537.36",
    "GoogleImageProxy",
    "curl/8.11",
    "",
)
LOOKS = ("GET", "HEAD", "OPTIONS")
EVIDENCE: Mapping[str, str] = MappingProxyType(
    {"approval_viewing": "false", "audit_event": "action <> 'approval.viewed'", "audit_head": "false"}
)
"""Where looking is written down, and which rows are not about that."""


def stored(world: World, but: Mapping[str, str] = MappingProxyType({})) -> Mapping[str, Any]:
    """A digest of every table, of some only of certain rows."""
    tables = world.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'sluice' ORDER BY 1")
    found = {}
    for (name,) in tables:
        query = sql.SQL(
            "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM sluice.{} t WHERE {}"
        ).format(sql.Identifier(name), sql.SQL(but.get(name, "true")))
        found[name] = world.sql(query.as_string())
    return found


def mailed(world: World) -> list[str]:
    """Every address in the mail that asks Carla, as text and as HTML."""
    room = Room()
    people = People({CONTROLLERS: [Addressee(CARLA.id, CARLA.name, CARLA.email)]})
    postbox = Postbox({"mail": room}, LINKS, ZoneInfo("UTC"))
    deliver(replace(world.services, directory=people, postbox=postbox))
    [(letter, address)] = room.sent
    assert address == CARLA.email
    mail = MailRendering()
    found = re.findall(r"https?://[^\s\"'<>]+", mail.text(letter) + mail.html(letter))
    return [link for link in found if "w3.org" not in link]


def test_scanners_that_follow_every_link_in_a_mail_change_nothing(world: World) -> None:
    [row] = asked(world, suspended(world))
    links = {urlsplit(link)._replace(scheme="", netloc="").geturl() for link in mailed(world)}
    assert {urlsplit(link).path for link in links} == {f"/approvals/{row.id}"}
    before, nobody = stored(world), visitor(world, None)
    requests = list(product(range(34), LOOKS, SCANNERS, links))
    assert len(requests) >= 1_000
    statuses = {
        nobody.ask(method, link, headers={"User-Agent": agent}).status for _, method, agent, link in requests
    }
    assert statuses == {401, 204}
    assert stored(world) == before
    assert world.sql("SELECT count(*) FROM sluice.approval_viewing") == [(0,)]


def test_no_page_changes_anything_for_whoever_looks(world: World) -> None:
    """Every address, with every method that looks, by those who may decide, those who may not, and nobody."""
    [row] = asked(world, suspended(world))
    visitors = [visitor(world, person) for person in (CARLA, FRED, None)]
    before = stored(world, EVIDENCE)
    for route, who, method in product(ROUTES, visitors, LOOKS):
        for query in ("", "?t=x&decision=approve&reason=x", "?q=a&page=2&step=post&view=decided"):
            reply = who.ask(method, f"/{route.path.format(id=row.id)}{query}")
            assert reply.status < 500
            assert method == "GET" or reply.body == b""
    assert stored(world, EVIDENCE) == before


def test_each_person_and_each_link_is_noted_once_and_only_when_the_page_was_shown(world: World) -> None:
    [row] = asked(world, suspended(world))
    address, carla = f"/approvals/{row.id}", visitor(world, CARLA)
    link = next(urlsplit(one) for one in mailed(world))
    carla.ask("HEAD", address)
    carla.ask("OPTIONS", address)
    assert world.sql("SELECT count(*) FROM sluice.approval_viewing") == [(0,)]
    headers = {"X-Forwarded-For": "203.0.113.9:1234"}
    for _ in range(3):
        carla.ask("GET", f"{address}?{link.query}", headers=headers)
        carla.ask("GET", address, headers=headers)
    seen = world.sql("SELECT actor, link::text LIKE '00000000%%' FROM sluice.approval_viewing ORDER BY 2", [])
    assert seen == [(CARLA.id, False), (CARLA.id, True)]
    told = world.sql(
        "SELECT actor, details ->> 'address' FROM sluice.audit_event WHERE action = 'approval.viewed'"
    )
    assert told == [(CARLA.id, "203.0.113.9")] * 2


def test_other_methods_are_refused_in_words(waiting: Waiting) -> None:
    carla = visitor(waiting.world, CARLA)
    for route, method in product(ROUTES, ("PUT", "PATCH", "DELETE")):
        reply = carla.ask(method, f"/{route.path.format(id=HOST)}")
        assert reply.status == 405
        assert "OPTIONS" in reply.headers["Allow"]
        assert "This cannot be done here" in reply.words


def test_the_address_of_a_form_leads_to_the_page(waiting: Waiting) -> None:
    for ending in ("confirm", "decision", "comments", "reassignment"):
        reply = visitor(waiting.world, CARLA).ask("GET", f"{waiting.address}/{ending}")
        assert (reply.status, reply.headers["Location"]) == (303, waiting.address)


def signed_out(who: Visitor) -> Visitor:
    """The same browser after the session has ended."""
    who.person = None
    return who


def test_who_has_not_signed_in_is_asked_to_and_comes_back(waiting: Waiting) -> None:
    shown = visitor(waiting.world, None).ask("GET", f"{waiting.address}?t=abc")
    assert (shown.status, shown.headers["WWW-Authenticate"]) == (401, 'Bearer realm="sluice"')
    login = f"/.auth/login/aad?post_login_redirect_uri={quote(waiting.address, safe='')}"
    assert f'href="{login}%3Ft%3Dabc"' in shown.text
    assert "3.75" not in shown.text
    carla = visitor(waiting.world, CARLA)
    form = carla.open(waiting.address).form("/confirm")
    late = signed_out(carla).send(form, decision="approve")
    assert late.status == 401
    assert f'href="{login}"' in late.text


def test_an_unknown_request_is_404_in_words(waiting: Waiting) -> None:
    carla = visitor(waiting.world, CARLA)
    for wrong in ("01900000-0000-7000-8000-000000000001", "1", "%2e%2e", "x" * 300):
        reply = carla.ask("GET", f"/approvals/{wrong}")
        assert (reply.status, "There is no such page" in reply.words) == (404, True)
        assert reply.headers["X-Request-Id"] in reply.words
    assert visitor(waiting.world, None).ask("GET", "/approvals/1").status in (401, 404)
