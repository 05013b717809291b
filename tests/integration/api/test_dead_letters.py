"""Dead letters over the API: found, discarded, taken up again; what does not fit changes nothing."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from store.letter_payloads import unseal
from tests.integration.api.test_api import call
from tests.integration.api.unsettled import LONG, set_aside
from tests.support.world import ACTOR, SMALL_LOG, Unstarted, World
from workflows.states import RunState

WHY = "The clock was wrong."
MISSING = "01900000-0000-7000-8000-000000000000"


def states(world: World) -> list[str]:
    """The states of all dead letters."""
    return [state for (state,) in world.sql("SELECT state FROM sluice.dead_letter ORDER BY id")]


def test_letters_are_listed_by_run_workflow_step_and_state(world: World) -> None:
    older, newer = map(str, set_aside(world, 2))
    items = call(world, "dead_letters_list").body["items"]
    assert [one["id"] for one in items] == [newer, older]
    assert (items[0]["workflow"], items[0]["step"], items[0]["state"]) == ("labour-costs", "costs", "OPEN")
    assert items[0]["record"]["worker"] == "[redacted]"
    for query, number in (
        ({"run": items[0]["run_id"]}, 2),
        ({"run": MISSING}, 0),
        ({"workflow": "labour-costs"}, 2),
        ({"workflow": "other"}, 0),
        ({"step": "costs", "state": "open"}, 2),
        ({"step": "post"}, 0),
        ({"state": "DISCARDED"}, 0),
    ):
        assert len(call(world, "dead_letters_list", query=query).body["items"]) == number, query
    first = call(world, "dead_letters_list", query={"limit": "1"}).body
    second = call(world, "dead_letters_list", query={"limit": "1", "cursor": first["next"]}).body
    assert ([one["id"] for one in second["items"]], second["next"]) == ([older], None)
    assert "IN_DOUBT" not in call(world, "dead_letters_list", query={"state": "x"}).body["detail"]


def test_a_letter_is_discarded_with_a_reason_once(world: World) -> None:
    [letter] = map(str, set_aside(world))
    first, second = (call(world, "dead_letters_discard", id=letter, body={"reason": WHY}) for _ in range(2))
    assert (first.status, first.body["state"], first.body["resolution"]) == (200, "DISCARDED", WHY)
    assert (second.status, second.body) == (200, first.body)
    assert first.body["resolved_by"] == ACTOR
    assert [(one["after"], one["actor"]) for one in first.body["transitions"]] == [
        ("OPEN", "sluice"), ("DISCARDED", ACTOR),
    ]  # fmt: skip
    again = call(world, "dead_letters_discard", id=letter, body={"reason": "Other."})
    retried = call(world, "dead_letters_retry_one", id=letter, body={"reason": WHY})
    assert (again.status, retried.status) == (409, 409)
    assert "is DISCARDED" in retried.body["detail"]
    assert world.sql("SELECT count(*) FROM sluice.audit_event WHERE action = 'dead_letter.discarded'") == [
        (1,)
    ]


def test_a_letter_is_taken_up_again_by_a_new_run_that_is_started(world: World) -> None:
    letter, other = map(str, set_aside(world, 2))
    scheduled = Unstarted()
    body = {"edit": {"worked_seconds": 60, "work_date": "2024-03-02", "amount": 1.5}, "reason": WHY}
    reply = call(world, "dead_letters_retry_one", id=letter, body=body, orchestrations=scheduled)
    assert (reply.status, reply.body["state"]) == (202, "PENDING")
    assert reply.headers["Location"] == f"/api/runs/{reply.body['id']}"
    assert [str(run_id) for run_id, _, _ in scheduled.started] == [reply.body["id"]]
    assert reply.body["repair_of"] == call(world, "dead_letters_get", id=letter).body["run_id"]
    shown = call(world, "dead_letters_get", id=letter).body
    assert (shown["state"], shown["retry_run"], shown["resolution"]) == ("RETRIED", reply.body["id"], WHY)
    assert call(world, "dead_letters_get", id=other).body["state"] == "OPEN"
    [(sealed, run_id)] = world.sql(
        "SELECT retry_payload, run_id FROM sluice.dead_letter WHERE id = %s", [letter]
    )
    record = unseal(world.services.envelope, sealed, run_id).record
    assert (record["worked_seconds"], str(record["work_date"]), str(record["amount"])) == (
        60,
        "2024-03-02",
        "1.5",
    )
    [(details,)] = world.sql("SELECT details FROM sluice.audit_event WHERE action = 'dead_letter.retried'")
    assert details == {
        "reason": WHY, "run": reply.body["id"], "edited": ["amount", "work_date", "worked_seconds"],
    }  # fmt: skip


def test_a_letter_is_not_taken_up_twice(world: World) -> None:
    letter, other = map(str, set_aside(world, 2))
    first = call(world, "dead_letters_retry_one", id=letter, body={"reason": WHY})
    body = {"ids": [other, letter], "reason": WHY}
    for again in (
        call(world, "dead_letters_retry", body=body),
        call(world, "dead_letters_discard", id=letter, body={"reason": WHY}),
    ):
        assert again.status == 409
        assert first.body["id"] in again.body["detail"]
    assert states(world) == ["RETRIED", "OPEN"]
    assert len(call(world, "runs_list").body["items"]) == 2


def test_of_several_who_take_up_a_letter_at_once_one_does(world: World) -> None:
    letter, other = map(str, set_aside(world, 2))
    body = {"ids": [other, letter], "reason": WHY}
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: call(world, "dead_letters_retry", body=body).status, range(4)))
    assert sorted(replies) == [202, 409, 409, 409]
    assert len(call(world, "runs_list").body["items"]) == 2


def test_several_letters_are_taken_up_in_one_run(world: World) -> None:
    ids = list(map(str, set_aside(world, 3)))
    edits = {letter: {"worked_seconds": 60} for letter in ids[:2]}
    reply = call(world, "dead_letters_retry", body={"ids": [*ids, ids[0]], "edits": edits, "reason": WHY})
    assert (reply.status, states(world)) == (202, ["RETRIED"] * 3)
    run = world.finish(world.run(world.sql("SELECT retry_run FROM sluice.dead_letter")[0][0]))
    assert run.state is RunState.SUCCEEDED
    assert (world.tasks(run.id)["costs"].counts or {}) == {"records": 3, "rejected": 1}
    assert len(world.ledger()) == 4


EDITS: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "unknown fields": (
        {"worked_second": 1, "a/b~c": 1},
        {("unknown_field", "/worked_second"), ("unknown_field", "/a~1b~0c")},
    ),
    "text for a number": ({"worked_seconds": "60"}, {("wrong_type", "/worked_seconds")}),
    "a fraction for a whole number": ({"worked_seconds": 1.5}, {("wrong_type", "/worked_seconds")}),
    "a truth value for a number": ({"worked_seconds": True}, {("wrong_type", "/worked_seconds")}),
    "a number for text": ({"activity": 5}, {("wrong_type", "/activity")}),
    "no date": ({"work_date": "1 March"}, {("wrong_type", "/work_date")}),
    "a date in another form": ({"work_date": "20240301"}, {("wrong_type", "/work_date")}),
    "too many digits": ({"amount": "1.234"}, {("wrong_type", "/amount")}),
    "no number": ({"amount": "NaN"}, {("wrong_type", "/amount")}),
    "a nested value": ({"amount": {"value": 1}}, {("wrong_type", "/amount")}),
    "several at once": (
        {"amount": "x", "activity": ["y"]},
        {("wrong_type", "/amount"), ("wrong_type", "/activity")},
    ),
}


@pytest.mark.parametrize(("edit", "wrong"), EDITS.values(), ids=list(EDITS))
def test_an_edit_that_does_not_fit_is_refused_with_every_place(
    world: World, edit: dict[str, Any], wrong: set[tuple[str, str]]
) -> None:
    letter, other = map(str, set_aside(world, 2))
    one = call(world, "dead_letters_retry_one", id=letter, body={"edit": edit, "reason": WHY})
    body = {"ids": [letter, other], "edits": {letter: edit}, "reason": WHY}
    many = call(world, "dead_letters_retry", body=body)
    assert (one.status, many.status) == (400, 400)
    assert {(fault["code"], fault["path"]) for fault in one.body["errors"]} == {
        (code, f"/edit{path}") for code, path in wrong
    }
    assert {fault["path"] for fault in many.body["errors"]} == {f"/edits/{letter}{path}" for _, path in wrong}
    assert states(world) == ["OPEN", "OPEN"]
    assert len(call(world, "runs_list").body["items"]) == 1


def test_a_number_that_no_decimal_holds_is_refused(world: World) -> None:
    [letter] = map(str, set_aside(world))
    data = b'{"edit": {"amount": 1e99999999999999999999}, "reason": "x"}'
    assert call(world, "dead_letters_retry_one", id=letter, data=data).status == 400


def test_letters_of_different_runs_are_not_mixed(world: World) -> None:
    [first] = set_aside(world)
    world.post([*SMALL_LOG, ("77", *LONG[1:])])
    ids = [str(letter) for (letter,) in world.sql("SELECT id FROM sluice.dead_letter ORDER BY id")]
    reply = call(world, "dead_letters_retry", body={"ids": ids, "reason": WHY})
    assert (reply.status, states(world)) == (400, ["OPEN", "OPEN"])
    assert "one run and step" in reply.body["detail"]
    assert ids[0] == str(first)


def test_edits_of_other_letters_are_refused(world: World) -> None:
    letter, other = map(str, set_aside(world, 2))
    body = {"ids": [letter], "edits": {other: {"amount": "1.00"}}, "reason": WHY}
    reply = call(world, "dead_letters_retry", body=body)
    assert (reply.status, [fault["path"] for fault in reply.body["errors"]]) == (400, [f"/edits/{other}"])


def test_a_run_that_goes_on_keeps_its_letters(world: World) -> None:
    [letter] = map(str, set_aside(world))
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("UPDATE sluice.workflow_run SET state = 'RUNNING'")
    reply = call(world, "dead_letters_retry_one", id=letter, body={"reason": WHY})
    assert (reply.status, states(world)) == (409, ["OPEN"])


def test_unknown_letters_are_not_found(world: World) -> None:
    [letter] = map(str, set_aside(world))
    assert call(world, "dead_letters_get", id=MISSING).status == 404
    assert call(world, "dead_letters_discard", id=MISSING, body={"reason": WHY}).status == 404
    assert call(world, "dead_letters_retry_one", id=MISSING, body={"reason": WHY}).status == 404
    mixed = call(world, "dead_letters_retry", body={"ids": [letter, MISSING], "reason": WHY})
    assert (mixed.status, states(world)) == (404, ["OPEN"])
    assert MISSING in mixed.body["detail"]


@pytest.mark.parametrize("body", [{"reason": WHY}, {"ids": [], "reason": WHY}, {"ids": ["x"], "reason": WHY}])
def test_a_retry_needs_ids(world: World, body: dict[str, Any]) -> None:
    assert call(world, "dead_letters_retry", body=body).status == 400
