"""What pages show: nothing that the viewer may not see, and nothing that a value could do to the page."""

import csv
import io
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.approvals import ApprovalFile, open_file
from console import approval_page
from tests.integration.console.conftest import Waiting
from tests.integration.console.visitor import Reply, Visitor, visitor
from tests.support.approvals import CARLA, FRED, asked, go_on, say, suspended
from tests.support.letters import texts
from tests.support.world import World


def shown(who: Visitor, address: str) -> Reply:
    """The page, which is there."""
    reply = who.open(address)
    assert reply.status == 200, reply.words
    return reply


def test_only_who_is_asked_sees_what_is_sensitive(waiting: Waiting) -> None:
    carla, fred = visitor(waiting.world, CARLA), visitor(waiting.world, FRED)
    secret = csv_rows(carla, waiting.address)[0]["worker"]
    assert secret in shown(carla, waiting.address).text
    for address in (
        waiting.address,
        f"{waiting.address}?q={secret}",
        f"{waiting.address}/lines.csv?step=post",
    ):
        reply = shown(fred, address)
        assert secret not in reply.text.replace(f'value="{secret}"', "").replace(f"“{secret}”", "")
    assert csv_rows(fred, waiting.address)[0]["worker"] == "[redacted]"
    words = shown(fred, waiting.address).words
    assert "Redacted for you: worker." in words
    assert "No record has" in shown(fred, f"{waiting.address}?q={secret}").words


def csv_rows(who: Visitor, address: str) -> list[dict[str, str]]:
    """The records of the download."""
    reply = shown(who, f"{address}/lines.csv?step=post")
    assert reply.headers["Content-Disposition"].startswith('attachment; filename="asking-')
    return list(csv.DictReader(io.StringIO(reply.body.decode("utf-8-sig"))))


def test_the_page_says_what_there_is_to_know(waiting: Waiting) -> None:
    file = opened(waiting)
    words = shown(visitor(waiting.world, CARLA), waiting.address).words
    for fact in (
        "asks to write 3 records with an amount of 3.75 to erp (job_ledger).",
        "Total 3.75 is above 2",
        "1 person of finance-controllers.",
        "As soon as you agree, 3 records with an amount of 3.75 go to erp (job_ledger): exactly these.",
        "Nothing is written. The run fails with your reason",
        "It counts as rejected: nothing is written.",
        "1 day 23 h",
        file.approval.digest,
        str(file.run.id),
        "asking, version 1 (sandbox)",
        "There is no earlier run of this workflow to compare with.",
    ):
        assert fact in words, fact


def opened(waiting: Waiting) -> ApprovalFile:
    """Everything about the request, for who is asked."""
    approval_id = UUID(waiting.address.rpartition("/")[2])
    return open_file(waiting.world.deployment, approval_id, CARLA)


def test_a_later_run_is_compared_with_the_one_before(world: World) -> None:
    first = suspended(world)
    say(world, asked(world, first)[0].id, CARLA)
    go_on(world, first)
    second = suspended(world, lines=5)
    words = shown(visitor(world, CARLA), f"/approvals/{asked(world, second)[0].id}").words.replace(" ", " ")
    assert "Records 5 3 +2 +66.7 %" in words
    assert "Amount 6.25 3.75 +2.50 +66.7 %" in words


def test_many_records_come_in_pages(world: World) -> None:
    [row] = asked(world, suspended(world, lines=230))
    address, carla = f"/approvals/{row.id}", visitor(world, CARLA)
    first = shown(carla, address)
    assert "1 to 100 of 230 records" in first.words
    assert "Page 1 of 3" in first.words
    last = shown(carla, f"{address}?step=post&page=3")
    assert "201 to 230 of 230 records" in last.words
    for beyond in ("99", "-1", "x", "9" * 30, "²"):
        assert "of 3" in shown(carla, f"{address}?page={beyond}").words
    found = shown(carla, f"{address}?q=0007")
    assert "of 1 record with “0007”" in found.words
    assert len(csv_rows(carla, address)) == 230


NASTY = texts(400).filter(lambda text: bool(text.strip()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NASTY, min_size=8, max_size=8))
def test_no_value_is_ever_part_of_the_page_itself(waiting: Waiting, values: list[str]) -> None:
    """The same elements, attributes and scripts, whatever stands in reasons, names, facts and records."""
    because, name, fact, cell, reason, comment, step, search = values
    file, carla = opened(waiting), visitor(waiting.world, CARLA)
    lines = [replace(one, rows=[{**row, "worker": cell} for row in one.rows]) for one in file.lines]
    summary = {**file.approval.summary, "name": name, "workflow": step}
    facts = {**file.approval.facts, "total": fact}
    row = replace(file.approval, because=because, facts=facts, summary=summary)
    names = {**file.names, file.run.requested_by: name}
    filled = replace(file, approval=row, lines=lines, names=names)
    typed = {"reason": reason, "text": comment, "to": name, "why": reason}
    nasty = drawn(carla, waiting.address, filled, name, link=search, typed=typed, problem=fact)
    plain = drawn(carla, waiting.address, file, "x", link="x", typed={"reason": "x", "to": "x"}, problem="x")
    assert skeleton(nasty) == skeleton(plain)


def drawn(who: Visitor, address: str, file: ApprovalFile, name: str, **more: Any) -> str:
    """The page of a request as HTML."""
    made = approval_page.page_of(who.visit("GET", address), file, **more)
    return who.site.rendering.page(made.template, {**made.content, "visitor": name, "sign_out": None})


class _Skeleton(HTMLParser):
    """Collects elements with the names of their attributes, in order, and where they lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        leads = [value or "" for name, value in attrs if name in ("href", "src", "action")]
        assert all(one.startswith(("/", "#")) for one in leads)
        self.found.append((tag, *(name for name, _ in attrs)))


def skeleton(page: str) -> list[tuple[str, ...]]:
    """The page without what is said in it."""
    parser = _Skeleton()
    parser.feed(page)
    return parser.found
