"""Operator actions as callers meet them: statuses, headers, refusals, and forecasts that change nothing."""

import itertools

import azure.functions as func

from kernel.ids import new_id
from tests.integration.api.test_api import Reply, call, read
from tests.integration.runs.test_operating import REFUSED, failed, pending, running, succeeded, suspended
from tests.integration.runs.test_repeats import DOWN, hooked, raising
from tests.integration.runs.test_segments import everything_stored
from tests.support.operators import act, begun, go_on
from tests.support.world import ADA, Unstarted, World, one_segment
from triggers.blueprint import ENDPOINTS
from triggers.fallback import fallback_endpoint
from triggers.http import Request, answer
from triggers.openapi import openapi_document
from workflows.actions import Action

BECAUSE = {"reason": "because"}


def test_a_forecast_changes_nothing_and_needs_no_reason(world: World) -> None:
    made = [situation(world) for situation in (pending, running, suspended, succeeded, failed)]
    before = everything_stored(world)
    for run, action in itertools.product(made, Action):
        client, query = Unstarted(), {"forecast": "true"}
        reply = call(world, f"runs_{action}", id=str(run.id), query=query, orchestrations=client)
        assert (reply.status, reply.body["action"]) == (200, action)
        assert reply.body["allowed"] is (reply.body["why_not"] is None)
        assert (client.started, client.woken) == ([], [])
    assert everything_stored(world) == before


def test_a_forecast_says_what_each_step_will_do(world: World) -> None:
    run = go_on(world, begun(world, 3), hooked(world, batch_size=1, before_push=raising(None, REFUSED)))
    reply = call(world, "runs_retry", id=str(run.id), query={"forecast": "true"})
    assert reply.body["summary"].endswith(": posts 2, skips 1 confirmed.")
    assert reply.body["steps"][-1] == {
        "step": "post", "verb": "push", "state": "FAILED", "will": "goes_on", "posts": 2, "posts_again": 0,
        "skips_confirmed": 1, "looks_up": 0, "sends_again": 0, "holds": 0, "in_flight": 0, "waits": 0,
        "elsewhere": 0, "known": True, "chunks": None,
    }  # fmt: skip


def test_an_action_answers_202_with_the_run_and_where_to_look(world: World) -> None:
    run = running(world)
    reply = call(world, "runs_cancel", id=str(run.id), body=BECAUSE)
    assert (reply.status, reply.body["state"], reply.body["requested"]) == (202, "RUNNING", "cancel")
    assert (reply.headers["Location"], reply.headers["Retry-After"]) == (f"/api/runs/{run.id}", "1")
    assert reply.body["actions"] == []
    again = call(world, "runs_cancel", id=str(run.id), body=BECAUSE)
    assert (again.status, again.body) == (202, reply.body)
    go_on(world, run)
    ended = call(world, "runs_cancel", id=str(run.id), body=BECAUSE)
    assert (ended.status, ended.body["state"], ended.body["actions"]) == (200, "CANCELLED", ["replay"])


def test_pausing_a_paused_run_is_fine(world: World) -> None:
    run = suspended(world)
    reply = call(world, "runs_pause", id=str(run.id), body=BECAUSE)
    assert (reply.status, reply.body["state"]) == (200, "SUSPENDED")
    assert reply.body["actions"] == ["cancel", "resume"]


def test_a_replay_answers_with_the_new_run(world: World) -> None:
    run = succeeded(world)
    headers = {"Idempotency-Key": "k"}
    first, second = (
        call(world, "runs_replay", id=str(run.id), body=BECAUSE, headers=headers) for _ in range(2)
    )
    assert (first.status, first.body["state"], first.body["replay_of"]) == (202, "PENDING", str(run.id))
    assert first.headers["Location"] == f"/api/runs/{first.body['id']}"
    assert (second.body["id"], second.headers["Idempotent-Replayed"]) == (first.body["id"], "true")
    assert "Idempotent-Replayed" not in first.headers
    other = call(world, "runs_replay", id=str(run.id), body={"reason": "other"}, headers=headers)
    assert (other.status, other.body["code"]) == (409, "conflict")


def test_a_refusal_says_what_can_be_done_instead(world: World) -> None:
    reply = call(world, "runs_retry", id=str(succeeded(world).id), body=BECAUSE)
    assert (reply.status, reply.body["code"]) == (409, "conflict")
    assert "SUCCEEDED" in reply.body["detail"]
    assert "replayed" in reply.body["detail"]


def test_a_reason_is_needed(world: World) -> None:
    run, long = pending(world), "x" * 1_001
    for body in ({}, {"reason": ""}, {"reason": "   "}, {"reason": long}, {"why": "x"}):
        reply = call(world, "runs_cancel", id=str(run.id), body=body)
        assert (reply.status, reply.body["code"]) == (400, "invalid_request")
        assert "/reason" in [fault["path"] for fault in reply.body["errors"]]


def test_a_run_that_is_not_there_is_404(world: World) -> None:
    for action, query in itertools.product(Action, ({}, {"forecast": "true"})):
        reply = call(world, f"runs_{action}", id=str(new_id()), body=BECAUSE, query=query)
        assert (reply.status, reply.body["code"]) == (404, "not_found")


def test_a_forecast_is_asked_for_with_true(world: World) -> None:
    reply = call(world, "runs_cancel", id=str(pending(world).id), body=BECAUSE, query={"forecast": "yes"})
    assert (reply.status, reply.body["code"]) == (400, "invalid_request")


def test_a_run_shows_its_attempts_and_until_when_it_waits(world: World) -> None:
    run = begun(world, 2, more="timeout: 1h")
    one_segment(hooked(world, before_push=raising(DOWN)), run.id)
    shown = call(world, "runs_get", id=str(run.id)).body
    assert (shown["execution"], shown["requested"], shown["repair_of"]) == (0, None, None)
    assert shown["created_at"] < shown["wake_at"] < shown["deadline_at"]
    (attempt,) = shown["tasks"][-1]["attempts"]
    assert (attempt["number"], attempt["code"], attempt["execution"]) == (1, "system_unavailable", 0)
    assert attempt["wait_seconds"] >= 10
    assert [task["attempts"] for task in shown["tasks"][:-1]] == [[], [], []]


def test_lists_show_what_is_asked_of_a_run(world: World) -> None:
    act(world, pending(world), Action.PAUSE)
    (shown,) = call(world, "runs_list").body["items"]
    assert (shown["requested"], shown["actions"]) == ("pause", ["cancel", "resume"])


def anything(world: World, method: str, path: str) -> Reply:
    """What the endpoint for everything else answers."""
    request = func.HttpRequest(
        method=method, url=f"/api/{path}", route_params={"path": f"api/{path}"}, body=b""
    )
    given = Request(request, world.deployment, lambda _http: ADA, Unstarted())
    return read(answer(fallback_endpoint(ENDPOINTS), given))


def test_allowed_methods_are_named_where_http_looks_for_them(world: World) -> None:
    for path, allowed in (
        ("runs/1/cancel", "POST, OPTIONS"), ("connectors/erp", "GET, PUT, OPTIONS"), ("runs", "GET, OPTIONS"),
    ):  # fmt: skip
        refused, options = anything(world, "PATCH", path), anything(world, "OPTIONS", path)
        assert (refused.status, refused.headers["Allow"]) == (405, allowed)
        assert (options.status, options.headers["Allow"], options.body) == (204, allowed, None)


def test_options_of_nothing_is_404(world: World) -> None:
    reply = anything(world, "OPTIONS", "nothing/here")
    assert (reply.status, reply.body["code"]) == (404, "not_found")


def test_openapi_tells_a_forecast_from_a_run() -> None:
    responses = openapi_document(ENDPOINTS)["paths"]["/api/runs/{id}/retry"]["post"]["responses"]
    assert set(responses) == {"200", "202", "default"}
    schema = responses["200"]["content"]["application/json"]["schema"]
    names = {choice["$ref"].rpartition("/")[2] for choice in schema["anyOf"]}
    assert names == {"ForecastView", "RunView"}
    assert responses["202"]["content"]["application/json"]["schema"]["$ref"].endswith("/RunView")
