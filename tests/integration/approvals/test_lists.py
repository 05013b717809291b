"""What people see of requests: lists, all about one, and what is kept from those who are not asked."""

from datetime import timedelta

import pytest

from commands.approval_lists import Wanted, list_page
from commands.approvals import open_file
from kernel.errors import Forbidden
from kernel.people import Person
from kernel.redaction import REDACTED
from tests.integration.api.test_api import call
from tests.support.approvals import CARLA, CONRAD, FRED, asked, go_on, say, suspended
from tests.support.operators import OLIVE
from tests.support.world import ADA, World
from workflows.deciding import Standing


def listed(world: World, person: Person, **wanted: object) -> list[str]:
    rows = list_page(world.deployment, Wanted(**wanted), person, 50).rows  # type: ignore[arg-type]
    return [str(row.id) for row in rows]


def test_mine_are_those_that_i_may_decide(world: World) -> None:
    request = asked(world, suspended(world))[0]
    assert listed(world, CARLA, mine=True) == [str(request.id)]
    assert listed(world, FRED, mine=True) == []
    assert listed(world, ADA, mine=True) == []
    assert listed(world, FRED) == [str(request.id)]
    say(world, request.id, CARLA)
    assert listed(world, CONRAD, mine=True) == []
    with pytest.raises(Forbidden):
        listed(world, Person("local:nobody", "Nobody"))


def test_pages_go_on_where_they_ended(world: World) -> None:
    requests = [asked(world, suspended(world))[0] for _ in range(3)]
    first = list_page(world.deployment, Wanted(), CARLA, 2)
    assert first.following == first.rows[-1].id
    rest = list_page(world.deployment, Wanted(after=first.following), CARLA, 2)
    assert rest.following is None
    assert [row.id for row in (*first.rows, *rest.rows)] == [row.id for row in reversed(requests)]


def test_whoever_is_asked_sees_the_records_and_others_see_them_redacted(world: World) -> None:
    request = asked(world, suspended(world))[0]
    (seen,) = open_file(world.deployment, request.id, CARLA).lines
    assert (seen.step, len(seen.rows), seen.hidden) == ("post", 3, frozenset())
    assert {row["worker"] for row in seen.rows} == {"Ann Ace"}
    for person in (OLIVE, FRED, ADA):
        (hidden,) = open_file(world.deployment, request.id, person).lines
        assert {row["worker"] for row in hidden.rows} == {REDACTED}
        assert hidden.hidden == {"worker"}


def test_a_file_says_how_one_stands_to_it(world: World) -> None:
    request = asked(world, suspended(world))[0]
    stands = {person.id: open_file(world.deployment, request.id, person) for person in (ADA, CARLA, FRED)}
    assert [file.standing for file in stands.values()] == [
        Standing.OWN_REQUEST, Standing.MAY_DECIDE, Standing.NOT_ASKED,
    ]  # fmt: skip
    assert {file.still_needed for file in stands.values()} == {1}


def test_a_file_compares_with_the_last_run_that_ended_well(world: World) -> None:
    first = suspended(world, lines=3)
    say(world, asked(world, first)[0].id, CARLA)
    go_on(world, first)
    second = suspended(world, lines=5)
    file = open_file(world.deployment, asked(world, second)[0].id, CARLA)
    assert file.earlier is not None
    assert file.earlier.id == first.id
    compared = {(one.name, one.before, one.now, one.difference) for one in file.periods}
    assert compared == {("records", "3", "5", "+2"), ("amount", "3.75", "6.25", "+2.50")}


def test_the_records_are_gone_with_the_run(world: World) -> None:
    run = suspended(world)
    request = asked(world, run)[0]
    say(world, request.id, CARLA)
    go_on(world, run)
    file = open_file(world.deployment, request.id, CARLA)
    assert (file.lines, file.standing) == ([], Standing.APPROVED)
    assert file.approval.summary["writes"][0]["records"] == 3
    assert file.approval.told_at is not None
    assert file.approval.told_at - file.approval.requested_at < timedelta(hours=1)


def test_a_run_names_the_requests_that_it_waits_for(world: World) -> None:
    run = suspended(world)
    request = asked(world, run)[0]
    shown = call(world, "runs_get", id=str(run.id)).body
    assert (shown["state"], shown["waits_for"], shown["approvals"]) == (
        "SUSPENDED", "approval", [str(request.id)],
    )  # fmt: skip
    assert shown["actions"] == ["cancel", "pause"]
    say(world, request.id, CARLA)
    go_on(world, run)
    shown = call(world, "runs_get", id=str(run.id)).body
    assert (shown["waits_for"], shown["approvals"]) == (None, [])


def test_the_api_says_how_the_caller_stands_to_a_request(world: World) -> None:
    request = asked(world, suspended(world))[0]
    own = str(request.id)
    seen = call(world, "approvals_get", id=own, person=CARLA).body
    assert (seen["standing"], seen["still_needed"]) == ("may_decide", 1)
    refused = call(world, "approvals_decide", id=own, body={"decision": "approve"}, person=FRED)
    assert (refused.status, refused.body["errors"][0]["code"]) == (403, "not_asked")
    decided = call(world, "approvals_decide", id=own, body={"decision": "approve"}, person=CARLA)
    assert (decided.status, decided.body["state"]) == (200, "APPROVED")
    late = call(world, "approvals_decide", id=own, body={"decision": "approve"}, person=CONRAD)
    assert (late.status, late.body["errors"][0]["code"]) == (409, "approved")
    listed = call(world, "approvals_list", query={"mine": "true"}, person=CONRAD).body
    assert listed == {"items": [], "next": None}
    wrong = call(world, "approvals_list", query={"mine": "perhaps"})
    assert wrong.status == 400
