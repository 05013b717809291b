"""Postings over the API: found, shown, and resolved by a person once and for good."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from commands.operating import Asked, operate
from tests.integration.api.test_api import call
from tests.integration.api.unsettled import in_doubt
from tests.support.world import ACTOR, ADA, SMALL_LOG, Unstarted, World, drive
from workflows.actions import Action
from workflows.states import RunState

WHY = "Seen in the system's journal."


def test_postings_are_listed_by_run_step_state_and_connector(world: World) -> None:
    in_doubt(world)
    other = world.post([("9", *SMALL_LOG[0][1:])])
    everything = call(world, "postings_list").body["items"]
    assert [one["state"] for one in everything] == ["CONFIRMED", "IN_DOUBT", "IN_DOUBT"]
    newest = everything[0]
    assert (newest["run_id"], newest["step"], newest["workflow"], newest["connector"]) == (
        str(other.id), "post", "labour-costs", "erp",
    )  # fmt: skip
    assert newest["shown"] == {
        "case_id": "9", "activity": "Pay Invoice", "worker": "[redacted]", "work_date": "2024-03-01",
    }  # fmt: skip
    for query, number in (
        ({"run": str(other.id)}, 1),
        ({"step": "post"}, 3),
        ({"step": "other"}, 0),
        ({"state": "in_doubt"}, 2),
        ({"state": "CONFIRMED", "connector": "erp"}, 1),
        ({"connector": "worklog"}, 0),
    ):
        assert len(call(world, "postings_list", query=query).body["items"]) == number, query


def test_pages_of_postings_follow_each_other(world: World) -> None:
    in_doubt(world)
    first = call(world, "postings_list", query={"limit": "1"}).body
    second = call(world, "postings_list", query={"limit": "1", "cursor": first["next"]}).body
    assert first["items"][0]["id"] > second["items"][0]["id"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "words"),
    [({"run": "x"}, "`run`"), ({"state": "LOST"}, "IN_DOUBT"), ({"cursor": "x"}, "`cursor`")],
)
def test_a_filter_that_makes_no_sense_is_refused(world: World, query: dict[str, str], words: str) -> None:
    reply = call(world, "postings_list", query=query)
    assert reply.status == 400
    assert words in reply.body["detail"]


def test_a_record_that_is_there_is_confirmed(world: World) -> None:
    posting, other = map(str, in_doubt(world))
    body = {"outcome": "confirmed", "external_id": "J-4711", "reason": f" {WHY} "}
    reply = call(world, "postings_resolve", id=posting, body=body)
    assert (reply.status, reply.body["state"], reply.body["external_id"]) == (200, "CONFIRMED", "J-4711")
    assert reply.body["reason"] == WHY
    assert [(one["after"], one["actor"]) for one in reply.body["transitions"]] == [
        ("INTENDED", "sluice"), ("SENT", "sluice"), ("IN_DOUBT", "sluice"), ("CONFIRMED", ACTOR),
    ]  # fmt: skip
    assert call(world, "postings_get", id=posting).body == reply.body
    assert call(world, "postings_get", id=other).body["state"] == "IN_DOUBT"
    [event] = world.sql("SELECT actor, details FROM sluice.audit_event WHERE action = 'posting.resolved'")
    assert (event[0], event[1]["reason"], event[1]["external_id"]) == (ACTOR, WHY, "J-4711")


def test_to_say_the_same_again_changes_nothing_and_to_say_otherwise_is_refused(world: World) -> None:
    posting = str(in_doubt(world)[0])
    body = {"outcome": "confirmed", "reason": WHY}
    first, second = (call(world, "postings_resolve", id=posting, body=body) for _ in range(2))
    assert (second.status, second.body) == (200, first.body)
    for other in ({**body, "outcome": "rejected"}, {**body, "reason": "Another reason."}):
        refused = call(world, "postings_resolve", id=posting, body=other)
        assert refused.status == 409
        assert "is CONFIRMED" in refused.body["detail"]
    assert world.sql("SELECT count(*) FROM sluice.audit_event WHERE action = 'posting.resolved'") == [(1,)]


def test_of_two_who_disagree_at_once_one_is_heard(world: World) -> None:
    posting = str(in_doubt(world)[0])
    with ThreadPoolExecutor(2) as pool:
        statuses = pool.map(
            lambda outcome: (
                call(world, "postings_resolve", id=posting, body={"outcome": outcome, "reason": WHY}).status
            ),
            ("confirmed", "rejected"),
        )
    assert sorted(statuses) == [200, 409]
    assert world.sql("SELECT count(*) FROM sluice.audit_event WHERE action = 'posting.resolved'") == [(1,)]


def test_only_a_posting_in_doubt_is_resolved(world: World) -> None:
    world.publish()
    world.post(SMALL_LOG)
    [posting, _] = [one["id"] for one in call(world, "postings_list").body["items"]]
    body = {"outcome": "rejected", "reason": WHY}
    assert call(world, "postings_resolve", id=posting, body=body).status == 409
    assert call(world, "postings_get", id=posting).body["state"] == "CONFIRMED"


FAULTY: dict[str, tuple[Any, str]] = {
    "no reason": ({"outcome": "confirmed"}, "/reason"),
    "an empty reason": ({"outcome": "confirmed", "reason": "  "}, "/reason"),
    "a reason that is too long": ({"outcome": "confirmed", "reason": "x" * 501}, "/reason"),
    "another outcome": ({"outcome": "posted", "reason": WHY}, "/outcome"),
    "an empty external id": ({"outcome": "confirmed", "external_id": "", "reason": WHY}, "/external_id"),
}


@pytest.mark.parametrize(("body", "path"), FAULTY.values(), ids=list(FAULTY))
def test_faulty_answers_are_refused_with_their_place(world: World, body: Any, path: str) -> None:
    reply = call(world, "postings_resolve", id="01900000-0000-7000-8000-000000000000", body=body)
    assert (reply.status, [fault["path"] for fault in reply.body["errors"]]) == (400, [path])


def test_a_record_that_is_not_there_has_no_external_id(world: World) -> None:
    posting = str(in_doubt(world)[0])
    body = {"outcome": "rejected", "external_id": "J-1", "reason": WHY}
    assert call(world, "postings_resolve", id=posting, body=body).status == 400
    assert call(world, "postings_get", id=posting).body["state"] == "IN_DOUBT"


def test_what_is_not_there_is_sent_again_by_a_retry(world: World) -> None:
    first, second = in_doubt(world)
    run_id = world.sql("SELECT run_id FROM sluice.posting")[0][0]
    [(kept,)] = world.sql("SELECT idempotency_key FROM sluice.posting WHERE id = %s", [first])
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("DELETE FROM job_ledger WHERE line_key <> %s", [kept])
    for posting, outcome in ((first, "confirmed"), (second, "rejected")):
        body = {"outcome": outcome, "reason": WHY}
        assert call(world, "postings_resolve", id=str(posting), body=body).status == 200
    operate(world.deployment, Asked(Action.RETRY, run_id, WHY, ADA), Unstarted())
    drive(world.services, run_id, execution=1)
    assert world.run(run_id).state is RunState.SUCCEEDED, world.run(run_id).failure
    assert (len(world.ledger()), (world.tasks(run_id)["post"].counts or {})["posted"]) == (2, 2)


def test_an_unknown_posting_is_not_found(world: World) -> None:
    missing = "01900000-0000-7000-8000-000000000000"
    assert call(world, "postings_get", id=missing).status == 404
    assert call(world, "postings_get", id="x").status == 404
    body = {"outcome": "confirmed", "reason": WHY}
    assert call(world, "postings_resolve", id=missing, body=body).status == 404
