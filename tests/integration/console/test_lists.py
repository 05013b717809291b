"""The list of requests: mine, waiting, decided."""

from dataclasses import replace

from console import approval_list
from console.visit import Page
from kernel.people import Person, Role
from tests.integration.console.visitor import Visitor, visitor
from tests.support.approvals import CARLA, FRED, asked, say, suspended
from tests.support.world import ADA, World

MACHINE = Person("key:1", "Nightly", roles=frozenset(), machine=True)


def listed(who: Visitor, query: str = "") -> list[str]:
    """The ids of the requests on a page of the list, in order."""
    text = who.open(f"/approvals{query}").text
    return [part.partition('"')[0] for part in text.split('<h2><a href="/approvals/')[1:]]


def test_each_view_shows_what_belongs_to_it(world: World) -> None:
    first, second, third = [asked(world, suspended(world))[0].id for _ in range(3)]
    say(world, first, CARLA)
    say(world, second, CARLA, "reject")
    carla, fred, ada = (visitor(world, person) for person in (CARLA, FRED, ADA))
    assert listed(carla) == listed(carla, "?view=mine") == listed(carla, "?view=nonsense") == [str(third)]
    assert listed(fred) == listed(ada) == []
    assert listed(fred, "?view=waiting") == [str(third)]
    assert listed(fred, "?view=decided") == [str(second), str(first)]
    assert listed(fred, "?view=decided&state=approved") == [str(first)]
    assert listed(fred, "?view=decided&state=requested") == [str(second), str(first)]
    assert "Nothing waits for your decision." in fred.open("/approvals").words
    words = carla.open("/approvals?view=waiting").words
    for fact in ("3 records with an amount of 3.75 to erp (job_ledger)", "Requested by Ada Admin", "Waiting"):
        assert fact in words


def test_long_lists_come_in_pages(world: World) -> None:
    rows = [str(asked(world, suspended(world))[0].id) for _ in range(3)]
    carla = visitor(world, CARLA)
    first = approval_list.show(carla.visit("GET", "/approvals?view=waiting"), size=2)
    assert isinstance(first, Page)
    assert [str(row.id) for row in first.content["listed"].rows] == [rows[2], rows[1]]
    assert listed(carla, first.content["more"].removeprefix("/approvals")) == [rows[0]]
    unknown = "01900000-0000-7000-8000-000000000001"
    for after in ("x", unknown, "%00"):
        assert listed(carla, f"?view=waiting&after={after}") == rows[::-1]


def test_who_has_no_role_is_told_so(world: World) -> None:
    for person in (MACHINE, replace(CARLA, roles=frozenset())):
        reply = visitor(world, person).ask("GET", "/approvals")
        assert reply.status == 403
        assert "no role" in reply.words
    assert (
        visitor(world, replace(FRED, roles=frozenset({Role.VIEWER}))).ask("GET", "/approvals").status == 200
    )
