"""Who may decide what: nobody by accident, nobody for themselves, and every decision is kept."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from commands.deciding import Decision, comment, decide, reassign
from kernel.errors import Conflict, Forbidden, InvalidRequest, NotFound, SluiceError
from kernel.people import Person, Role
from tests.support.approvals import (
    CARLA,
    CONRAD,
    CONTROLLERS,
    DIRECTORS,
    FRED,
    RULE,
    approver,
    asked,
    asking,
    go_on,
    say,
    states,
    suspended,
)
from tests.support.operators import OLIVE, act
from tests.support.world import ADA, Unstarted, World
from workflows.actions import Action
from workflows.states import RunState

TWO = RULE.replace("due: 48h", "due: 48h, quorum: 2")


def said(error: SluiceError) -> str:
    return error.faults[0].code


def events(world: World, subject: object) -> list[tuple[str, str]]:
    query = "SELECT action, actor FROM sluice.audit_event WHERE subject = %s ORDER BY id"
    return [(row[0], row[1]) for row in world.sql(query, [str(subject)])]


def test_whoever_requested_the_run_cannot_decide_it(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    assert request.excluded == [ADA.id]
    herself = replace(ADA, roles=ADA.roles | {Role.APPROVER}, groups=frozenset({CONTROLLERS}))
    with pytest.raises(Forbidden, match="requested this run yourself") as caught:
        say(world, request.id, herself)
    assert said(caught.value) == "own_request"
    assert events(world, request.id)[-1] == ("approval.decision_refused", ADA.id)
    assert states(asked(world, run)) == ["REQUESTED"]


@pytest.mark.parametrize(
    ("person", "why"),
    [
        (FRED, "not among those who were asked"),
        (replace(CARLA, roles=frozenset({Role.VIEWER})), "needs approver"),
        (replace(CARLA, machine=True), "is no person"),
        (replace(OLIVE, groups=frozenset({CONTROLLERS})), "needs approver"),
        (Person("local:x", "X"), "needs approver"),
    ],
)
def test_others_cannot_either(world: World, person: Person, why: str) -> None:
    run = suspended(world)
    with pytest.raises(Forbidden, match=why):
        say(world, asked(world, run)[0].id, person)
    assert go_on(world, run).state is RunState.SUSPENDED


def test_a_rejection_needs_a_reason(world: World) -> None:
    run = suspended(world)
    with pytest.raises(InvalidRequest, match="needs a reason"):
        decide(world.deployment, Decision(asked(world, run)[0].id, "reject", "  "), CARLA, Unstarted())


def test_an_approval_that_does_not_exist(world: World) -> None:
    with pytest.raises(NotFound):
        say(world, uuid4(), CARLA)


def test_saying_it_twice_is_saying_it_once(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    assert not say(world, request.id, CARLA).repeated
    assert say(world, request.id, CARLA).repeated
    with pytest.raises(Conflict, match="approved already"):
        say(world, request.id, CARLA, "reject")
    with pytest.raises(Conflict, match="approved already"):
        say(world, request.id, CONRAD)
    assert world.sql("SELECT count(*) FROM sluice.approval_decision") == [(1,)]


def test_a_quorum_counts_people_not_clicks(world: World) -> None:
    run = suspended(world, asking(TWO))
    (request,) = asked(world, run)
    assert say(world, request.id, CARLA).approval.state == "REQUESTED"
    assert say(world, request.id, CARLA).repeated
    with pytest.raises(Conflict, match="others have to as well"):
        say(world, request.id, CARLA, "reject")
    assert go_on(world, run).state is RunState.SUSPENDED
    assert say(world, request.id, CONRAD).approval.state == "APPROVED"
    assert go_on(world, run).state is RunState.SUCCEEDED


def test_one_of_a_quorum_can_reject(world: World) -> None:
    run = suspended(world, asking(TWO))
    (request,) = asked(world, run)
    say(world, request.id, CARLA)
    assert say(world, request.id, CONRAD, "reject").approval.state == "REJECTED"
    assert go_on(world, run).state is RunState.FAILED


def test_many_at_once_come_to_one_outcome(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    people = [approver(f"p{number}", CONTROLLERS) for number in range(8)]

    def decides(number: int) -> str:
        try:
            say(world, request.id, people[number], "reject" if number % 2 else "approve")
        except Conflict as exc:
            return said(exc)
        return "said"

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(decides, range(8)))
    assert outcomes.count("said") == 1
    (row,) = asked(world, run)
    assert {*outcomes} - {"said"} == {row.state.value.lower()}
    assert row.outcome is not None
    winner = row.outcome["decided_by"]
    assert world.sql("SELECT actor FROM sluice.approval_decision") == [(winner,)]
    refused = [actor for action, actor in events(world, request.id) if action == "approval.decision_refused"]
    assert sorted([*refused, winner]) == sorted(person.id for person in people)


def test_a_decision_on_a_cancelled_run_comes_too_late(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    act(world, run, Action.CANCEL)
    assert go_on(world, run).state is RunState.CANCELLED
    assert states(asked(world, run)) == ["CANCELLED"]
    with pytest.raises(Conflict, match="means nothing any more"):
        say(world, request.id, CARLA)


def test_a_decision_lost_on_its_way_is_found(world: World) -> None:
    """The event is lost: the row says that the run is due, and the sweep over sleepers wakes it."""
    run = suspended(world)
    say(world, asked(world, run)[0].id, CARLA)
    due = world.run(run.id)
    assert (due.state, due.wake_at is not None) == (RunState.RUNNING, True)


def test_durable_execution_hears_of_it_by_name(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    client = Unstarted()
    decide(world.deployment, Decision(request.id, "approve"), CARLA, client)
    assert client.decisions == [(run.id, 0, request.id)]


def test_what_was_decided_says_by_whom_from_where_and_under_which_rule(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    link = uuid4()
    say(world, request.id, CARLA, source="page", link=link, address="192.0.2.7")
    query = "SELECT details FROM sluice.audit_event WHERE subject = %s AND action = 'approval.decided'"
    ((details,),) = world.sql(query, [str(request.id)])
    assert details["rule"] == 0
    assert details["groups"] == CONTROLLERS
    assert (details["link"], details["address"], details["source"]) == (str(link), "192.0.2.7", "page")


def test_handing_on_changes_who_may_decide_and_who_may_not(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    changed = reassign(world.deployment, request.id, [DIRECTORS], "Carla is away", OLIVE)
    assert changed.approvers == [DIRECTORS]
    with pytest.raises(Forbidden, match="not among those"):
        say(world, request.id, CARLA)
    fred = replace(OLIVE, roles=frozenset({Role.APPROVER}), groups=frozenset({DIRECTORS}))
    with pytest.raises(Forbidden, match="handed the request on"):
        say(world, request.id, fred)
    say(world, request.id, FRED)
    assert go_on(world, run).state is RunState.SUCCEEDED


def test_handing_on_to_one_person(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    reassign(world.deployment, request.id, [f"person:{FRED.id}"], "Only he knows", CARLA)
    say(world, request.id, FRED)
    assert states(asked(world, run)) == ["APPROVED"]


@pytest.mark.parametrize(
    ("to", "person", "why"),
    [
        ([], OLIVE, "to whom"),
        ([f"person:{ADA.id}"], OLIVE, "may not decide"),
        ([f"person:{OLIVE.id}"], OLIVE, "may not decide"),
        ([DIRECTORS], FRED, "needs operator"),
        (["finance-directers"], OLIVE, "nobody to hand it on to"),
    ],
)
def test_who_cannot_hand_on_to_whom(world: World, to: list[str], person: Person, why: str) -> None:
    run = suspended(world)
    with pytest.raises((InvalidRequest, Forbidden), match=why):
        reassign(world.deployment, asked(world, run)[0].id, to, "because", person)


def test_comments_reach_those_concerned(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    comment(world.deployment, request.id, "Which week is this?", CARLA)
    comment(world.deployment, request.id, "The last one", ADA)
    rows = world.sql("SELECT level, audience FROM sluice.notification WHERE kind = 'comment' ORDER BY level")
    assert [(row[0], row[1]["people"]) for row in rows] == [(0, [ADA.id]), (1, [CARLA.id])]
    with pytest.raises(InvalidRequest):
        comment(world.deployment, request.id, " ", CARLA)
