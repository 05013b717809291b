"""Deciding on the page of a request: in two steps, with a reason to reject, and told plainly afterwards."""

from dataclasses import replace
from uuid import UUID

import pytest

from commands.deciding import reassign
from console.visit import LINK
from kernel.ids import new_id
from kernel.people import Person, Role
from store.runs import RunRow
from tests.integration.console.visitor import LINKS, Reply, Visitor, visitor
from tests.support.approvals import (
    CARLA,
    CONRAD,
    CONTROLLERS,
    FRED,
    asked,
    asking,
    go_on,
    say,
    skip,
    suspended,
)
from tests.support.operators import act
from tests.support.world import ADA, World
from workflows.actions import Action
from workflows.deciding import WORDS, Standing

TWO = f"{{approve: total > 2, by: [{CONTROLLERS}], quorum: 2, because: 'Two have to look'}}"
OPERATOR = Person("local:olive", "Olive", roles=frozenset({Role.OPERATOR}))
MACHINE = replace(CARLA, machine=True)


def page(world: World, *rules: str) -> str:
    """The address of a request that waits."""
    [row] = asked(world, suspended(world, asking(*rules)))
    return f"/approvals/{row.id}"


def exchange_lines(world: World, run: RunRow, lines: int) -> None:
    """What was kept for after the decision becomes something else."""
    contexts = world.services.contexts
    held = contexts.load_held(world.deployment.database, run)
    records = held["lines"].records
    assert records is not None
    held["lines"] = replace(held["lines"], records=replace(records, rows=records.rows[:lines]))
    contexts.hold(world.deployment.database, run, "limits", held, "sluice")


def begun(who: Visitor, address: str, decision: str, reason: str = "") -> Reply:
    """The page that says again what a decision does."""
    return who.send(who.open(address).form("/confirm"), decision=decision, reason=reason)


def decided(world: World) -> list[tuple[str, str, str]]:
    """All decisions, as they are stored."""
    return [
        (actor, decision, reason)
        for actor, decision, reason in world.sql(
            "SELECT actor, decision, reason FROM sluice.approval_decision ORDER BY decided_at"
        )
    ]


def test_approving_takes_two_steps_and_then_shows_who_and_when(world: World) -> None:
    address, carla = page(world), visitor(world, CARLA)
    confirmation = begun(carla, address, "approve", "Looks right")
    assert confirmation.status == 200
    assert "Approve 3 records with an amount of 3.75?" in confirmation.words
    assert "Looks right" in confirmation.words
    assert (decided(world), world.sql("SELECT state FROM sluice.approval")) == ([], [("REQUESTED",)])
    done = carla.send(confirmation.form("/decision"))
    assert (done.status, done.headers["Location"]) == (303, address)
    words = carla.open(address).words
    assert "This was approved Approved by Carla, " in words
    assert "Looks right" in words
    assert decided(world) == [("local:carla", "approve", "Looks right")]
    assert carla.orchestrations.decisions
    assert "Your decision" not in words


def test_a_rejection_needs_a_reason_and_keeps_it(world: World) -> None:
    address, carla = page(world), visitor(world, CARLA)
    refused = begun(carla, address, "reject", "  \r\n ")
    assert refused.status == 422
    assert "Say why you reject it" in refused.words
    confirmation = carla.send(refused.form("/confirm"), decision="reject", reason="Wrong week\r\nsee mail")
    assert "Reject 3 records with an amount of 3.75?" in confirmation.words
    assert carla.send(confirmation.form("/decision")).status == 303
    assert decided(world) == [("local:carla", "reject", "Wrong week\nsee mail")]
    shown = carla.open(address)
    assert "This was rejected Rejected by Carla" in shown.words
    assert "Wrong week\nsee mail" in shown.text


def test_a_decision_needs_the_page_that_says_it_again(world: World) -> None:
    """Neither the token of the first form, nor that for the other decision, decides."""
    address, carla = page(world), visitor(world, CARLA)
    first = carla.open(address).form("/confirm")
    sent = {"token": first.fields["token"], "decision": "approve", "reason": ""}
    direct = replace(first, action=f"{address}/decision", fields=sent)
    assert carla.send(direct).status == 403
    confirmation = begun(carla, address, "approve").form("/decision")
    assert carla.send(confirmation, decision="reject", reason="no").status == 403
    assert carla.send(confirmation, decision="perhaps").status == 403
    assert decided(world) == []


def test_sending_it_twice_decides_once(world: World) -> None:
    address, carla = page(world, TWO), visitor(world, CARLA)
    confirmation = begun(carla, address, "approve").form("/decision")
    assert [carla.send(confirmation).status for _ in range(2)] == [303, 303]
    assert decided(world) == [("local:carla", "approve", "")]
    words = carla.open(address).words
    assert "You have decided" in words
    assert WORDS[Standing.ALREADY_SAID] in words
    assert "1 more needed" in words
    assert "Carla approved," in words


def test_the_link_that_was_followed_is_written_down_with_what_was_done(world: World) -> None:
    address, carla, message = page(world), visitor(world, CARLA), new_id()
    token = LINKS.sign(UUID(address.rpartition("/")[2]), message)
    first = carla.open(f"{address}?t={token}").form("/confirm")
    assert first.fields[LINK] == token
    carla.send(carla.send(first, decision="approve").form("/decision"))
    assert world.sql("SELECT link FROM sluice.approval_decision") == [(message,)]
    assert (message,) in world.sql("SELECT link FROM sluice.approval_viewing")


@pytest.mark.parametrize("token", ["x", "A" * 70, "A" * 5_000, "\N{SNOWMAN}", "%00"])
def test_a_wrong_link_token_keeps_nobody_out(world: World, token: str) -> None:
    address, carla = page(world), visitor(world, CARLA)
    shown = carla.open(f"{address}?t={token}")
    assert shown.status == 200
    carla.send(carla.send(shown.form("/confirm"), decision="approve").form("/decision"))
    assert world.sql("SELECT link FROM sluice.approval_decision") == [(None,)]


def test_each_reason_why_somebody_may_not_decide_has_its_own_words(world: World) -> None:
    address = page(world)
    for person, standing in ((ADA, Standing.OWN_REQUEST), (FRED, Standing.NOT_ASKED)):
        shown = visitor(world, person).open(address)
        assert shown.status == 200
        assert WORDS[standing] in shown.words
        assert not [form for form in shown.forms if form.action.endswith("/confirm")]
    named = visitor(world, replace(CARLA, roles=frozenset({Role.VIEWER}))).open(address)
    assert "do not have the role approver" in named.words
    assert not [form for form in named.forms if form.action.endswith("/confirm")]


@pytest.mark.parametrize(
    ("person", "status", "words"),
    [
        (replace(CARLA, groups=frozenset()), 403, WORDS[Standing.NOT_ASKED]),
        (replace(CARLA, roles=frozenset({Role.VIEWER})), 403, "Carla has viewer; decide_approval needs"),
        (MACHINE, 403, "is no person, and only people may use decide_approval"),
    ],
    ids=["not asked", "viewer", "machine"],
)
def test_a_form_that_was_not_offered_decides_nothing(
    world: World, person: Person, status: int, words: str
) -> None:
    """Somebody may lose the right between the two forms."""
    address, who = page(world), visitor(world, CARLA)
    confirmation = begun(who, address, "approve").form("/decision")
    who.person = person
    reply = who.send(confirmation)
    assert reply.status == status
    assert words in reply.words
    assert decided(world) == []


def test_a_request_that_expired_says_so(world: World) -> None:
    address, carla = page(world), visitor(world, CARLA)
    form = carla.open(address).form("/confirm")
    skip(world, hours=49)
    assert carla.send(form, decision="approve").status == 403, "the form is older than forms may be"
    words = carla.open(address).words
    assert "The time to decide is over" in words
    assert WORDS[Standing.EXPIRED] in words
    assert "Your decision" not in words


def test_a_decision_that_comes_too_late_says_who_was_first(world: World) -> None:
    address, carla, conrad = page(world), visitor(world, CARLA), visitor(world, CONRAD)
    late = begun(conrad, address, "reject", "Not yet").form("/decision")
    carla.send(begun(carla, address, "approve").form("/decision"))
    reply = conrad.send(late)
    assert reply.status == 409
    assert "Your decision was not taken." in reply.words
    assert "Approved by Carla" in reply.words
    later = conrad.send(conrad.open(address).form("/comments"), text="Too late?")
    assert later.status == 303
    assert decided(world) == [("local:carla", "approve", "")]


def test_a_cancelled_run_takes_its_request_along(world: World) -> None:
    run = suspended(world)
    address, carla = f"/approvals/{asked(world, run)[0].id}", visitor(world, CARLA)
    confirmation = begun(carla, address, "approve").form("/decision")
    act(world, run, Action.CANCEL)
    go_on(world, run)
    reply = carla.send(confirmation)
    assert reply.status == 409
    assert WORDS[Standing.CANCELLED] in reply.words
    assert "Its run ended" in reply.words


def test_a_request_that_was_replaced_leads_to_the_new_one_which_shows_the_difference(world: World) -> None:
    run = suspended(world)
    say(world, asked(world, run)[0].id, CARLA)
    exchange_lines(world, world.run(run.id), 2)
    go_on(world, run)
    first, second = asked(world, run)
    conrad = visitor(world, CONRAD)
    old = conrad.open(f"/approvals/{first.id}")
    assert WORDS[Standing.CANCELLED] in old.words
    assert "The records changed" in old.words
    assert f'href="/approvals/{second.id}"' in old.text
    new = conrad.open(f"/approvals/{second.id}")
    assert "What has changed since it was last asked" in new.words
    assert f'href="/approvals/{first.id}"' in new.text
    assert "Left out: 1 record" in new.words
    assert "Records 3 2 Amount" in new.words


def test_questions_are_asked_and_answered_beside_the_decision(world: World) -> None:
    address, carla, ada = page(world), visitor(world, CARLA), visitor(world, ADA)
    empty = carla.send(carla.open(address).form("/comments"), text=" ")
    assert (empty.status, "There is no text." in empty.words) == (422, True)
    asked_it = carla.send(carla.open(address).form("/comments"), text="Why so much?\nAnd why now?")
    assert asked_it.headers["Location"] == f"{address}#conversation"
    ada.send(ada.open(address).form("/comments"), text="Overtime")
    words = carla.open(address).words
    assert words.index("Why so much?") < words.index("Overtime")
    assert decided(world) == []


def test_whoever_is_asked_hands_it_on_and_cannot_decide_any_more(world: World) -> None:
    address, carla, fred = page(world), visitor(world, CARLA), visitor(world, FRED)
    form = carla.open(address).form("/reassignment")
    wrong = carla.send(form, to=" , ", why="I am away")
    assert (wrong.status, 'value=","' in wrong.text, "I am away" in wrong.text) == (422, True, True)
    done = carla.send(form, to="finance-directors, person:local:dora", why="I am away")
    assert done.status == 303
    assert WORDS[Standing.OWN_REQUEST] in carla.open(address).words
    shown = fred.open(address)
    assert "1 person of finance-directors or local:dora" in shown.words
    fred.send(begun(fred, address, "approve").form("/decision"))
    assert decided(world) == [("local:fred", "approve", "")]


def test_operators_hand_on_what_others_are_asked(world: World) -> None:
    address = page(world)
    assert visitor(world, OPERATOR).open(address).form("/reassignment").method == "post"
    others = [form.action for form in visitor(world, FRED).open(address).forms]
    assert not [action for action in others if action.endswith("/reassignment")]
    row = address.rpartition("/")[2]
    reassign(world.deployment, UUID(row), ["finance-directors"], "on leave", OPERATOR)
    assert "finance-directors" in visitor(world, FRED).open(address).words


def test_a_request_whose_run_is_gone_cannot_be_decided_even_if_it_was_left_open(world: World) -> None:
    address, carla = page(world), visitor(world, CARLA)
    form = carla.open(address).form("/confirm")
    world.sql("UPDATE sluice.workflow_run SET state = 'FAILED' RETURNING 1")
    assert WORDS[Standing.CANCELLED] in carla.open(address).words
    reply = carla.send(form, decision="approve")
    assert (reply.status, "Your decision was not taken." in reply.words) == (409, True)
