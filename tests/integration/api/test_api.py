"""The HTTP API as callers meet it: statuses, headers, problem details, paging."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import azure.functions as func
import pytest

from kernel import errors
from kernel.errors import SluiceError, error_classes
from kernel.ids import new_id
from kernel.people import Person
from kernel.secrets import Secret
from localhost.services.ports import free_port
from store.database import Database
from tests.support.world import ADA, EXAMPLES, SMALL_LOG, Unstarted, World, work_log
from triggers.blueprint import ENDPOINTS
from triggers.fallback import fallback_endpoint
from triggers.http import STATUSES, Answer, Endpoint, Request, answer, status_of
from triggers.openapi import openapi_document
from triggers.views import HealthView

BY_NAME: Mapping[str, Endpoint] = {endpoint.name: endpoint for endpoint in ENDPOINTS}


@dataclass(frozen=True)
class Reply:
    """A response as a caller reads it."""

    status: int
    body: Any
    headers: Mapping[str, str]


def read(response: func.HttpResponse) -> Reply:
    """Decode a response."""
    return Reply(response.status_code, json.loads(response.get_body() or b"null"), response.headers)


def call(
    world: World,
    name: str,
    /,
    *,
    body: Any = None,
    data: bytes = b"",
    orchestrations: Unstarted | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    person: Person = ADA,
    **route: str,
) -> Reply:
    """Call an endpoint by name."""
    endpoint = BY_NAME[name]
    content = json.dumps(body).encode() if body is not None else data
    request = func.HttpRequest(
        method=endpoint.method, url=f"/api/{endpoint.path}", headers=dict(headers or {}),
        params=dict(query or {}), route_params=route, body=content,
    )  # fmt: skip
    given = Request(request, world.deployment, lambda _http: person, orchestrations or Unstarted())
    return read(answer(endpoint, given))


def example() -> bytes:
    """The example definition."""
    return (EXAMPLES / "labour_costs.yaml").read_bytes()


def test_publishing_twice_makes_one_version(world: World) -> None:
    first, second = (call(world, "workflows_publish", data=example()) for _ in range(2))
    assert (first.status, second.status) == (201, 200)
    assert first.body == second.body
    assert first.headers["Location"] == "/api/workflows/labour-costs"
    assert call(world, "workflows_get", key="labour-costs").body["number"] == 1


def test_a_changed_definition_is_the_next_version(world: World) -> None:
    call(world, "workflows_publish", data=example())
    changed = example().replace(b"2500.00", b"3000.00")
    assert call(world, "workflows_publish", data=changed).body["number"] == 2
    versions = call(world, "workflows_versions", key="labour-costs").body["items"]
    assert [version["number"] for version in versions] == [2, 1]


def test_a_faulty_definition_is_refused_with_all_faults(world: World) -> None:
    faulty = (
        example().replace(b"connector: erp", b"connector: epr").replace(b"records: costs", b"records: cost")
    )
    reply = call(world, "workflows_publish", data=faulty)
    assert (reply.status, reply.body["code"]) == (422, "invalid_definition")
    found = {(fault["code"], fault["line"]) for fault in reply.body["errors"]}
    assert {code for code, _ in found} == {"unknown_connector", "unknown_step"}
    assert all(line > 0 for _, line in found)
    checked = call(world, "workflows_validate", data=faulty).body
    assert (checked["valid"], len(checked["faults"])) == (False, len(reply.body["errors"]))
    assert call(world, "workflows_list").body["items"] == []


def test_starting_a_run_answers_202_with_where_to_look(world: World) -> None:
    world.publish()
    scheduled = Unstarted()
    reply = call(
        world, "runs_start", key="labour-costs", body={"inputs": {"file": "x"}}, orchestrations=scheduled
    )
    assert (reply.status, reply.body["state"], reply.headers["Retry-After"]) == (202, "PENDING", "1")
    assert reply.headers["Location"] == f"/api/runs/{reply.body['id']}"
    assert scheduled.started == [(UUID(reply.body["id"]), 0, 0)]


def test_an_idempotency_key_replays_and_guards(world: World) -> None:
    world.publish()
    headers = {"Idempotency-Key": "k"}
    first = call(world, "runs_start", key="labour-costs", body={"inputs": {"file": "x"}}, headers=headers)
    again = call(world, "runs_start", key="labour-costs", body={"inputs": {"file": "x"}}, headers=headers)
    other = call(world, "runs_start", key="labour-costs", body={"inputs": {"file": "y"}}, headers=headers)
    assert again.body["id"] == first.body["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status, other.body["code"]) == (409, "conflict")
    assert len(call(world, "runs_list").body["items"]) == 1


def test_wrong_inputs_are_all_named(world: World) -> None:
    world.publish()
    inputs = {"line_limit": "much", "colour": "red"}
    reply = call(world, "runs_start", key="labour-costs", body={"inputs": inputs})
    assert reply.status == 400
    assert {fault["path"] for fault in reply.body["errors"]} == {
        "inputs.file", "inputs.line_limit", "inputs.colour",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"inputs": ', "line 1"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"input": {}}', "does not fit"),
        (b"[]", "fit"),
    ],
)
def test_malformed_bodies_are_400_with_a_place(world: World, data: bytes, words: str) -> None:
    world.publish()
    reply = call(world, "runs_start", key="labour-costs", data=data)
    assert reply.status == 400
    assert words in reply.body["detail"]


def test_an_unknown_body_name_has_a_pointer(world: World) -> None:
    reply = call(world, "runs_start", key="labour-costs", body={"input": {}})
    assert [fault["path"] for fault in reply.body["errors"]] == ["/input"]


def test_run_lists_page_through_everything_once(world: World) -> None:
    world.publish()
    made = [str(world.start(file=str(number)).id) for number in range(7)]
    seen: list[str] = []
    query = {"limit": "3"}
    while True:
        page = call(world, "runs_list", query=query).body
        seen += [run["id"] for run in page["items"]]
        if page["next"] is None:
            break
        query = {"limit": "3", "cursor": page["next"]}
    assert seen == made[::-1]
    assert call(world, "runs_list", query={"state": "succeeded"}).body["items"] == []
    assert len(call(world, "runs_list", query={"workflow": "labour-costs"}).body["items"]) == 7


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "many"}, {"state": "DONE"}, {"cursor": "???"}])
def test_wrong_list_parameters_are_400(world: World, query: dict[str, str]) -> None:
    assert call(world, "runs_list", query=query).status == 400


@pytest.mark.parametrize("run_id", ["", "7", "01937f3e-0000-7000-8000-000000000000"])
def test_an_unknown_run_is_404(world: World, run_id: str) -> None:
    reply = call(world, "runs_get", id=run_id)
    assert (reply.status, reply.body["code"]) == (404, "not_found")


def test_a_run_shows_its_tasks_and_dead_letters(world: World) -> None:
    world.publish()
    long_day = ("9", "Pay Invoice", "Cy Canary", "2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z")
    run = world.post([*SMALL_LOG, long_day])
    shown = call(world, "runs_get", id=str(run.id)).body
    assert [task["step"] for task in shown["tasks"]][:2] == ["work_log", "entries_valid"]
    assert {task["state"] for task in shown["tasks"]} == {"SUCCEEDED"}
    letters = call(world, "runs_dead_letters", id=str(run.id))
    assert [letter["step"] for letter in letters.body["items"]] == ["costs"]
    assert "Canary" not in json.dumps([shown, letters.body])


def test_uploading_the_same_bytes_again_is_fine_other_bytes_are_not(world: World) -> None:
    name, data = f"{new_id()}.csv", work_log(SMALL_LOG)
    first = call(world, "files_upload", name=name, data=data)
    again = call(world, "files_upload", name=name, data=data)
    other = call(world, "files_upload", name=name, data=data + b"x")
    forced = call(world, "files_upload", name=name, data=data + b"x", query={"overwrite": "true"})
    assert (first.status, again.status, other.status, forced.status) == (201, 201, 409, 201)
    assert first.body["bytes"] == len(data)


def test_a_file_above_the_limit_is_413_with_both_sizes(world: World) -> None:
    reply = call(world, "files_upload", name="big.csv", data=b"x" * 1_000_001)
    assert (reply.status, reply.body["code"]) == (413, "too_large")
    assert "1,000,001" in reply.body["detail"]
    assert "1,000,000" in reply.body["detail"]


@pytest.mark.parametrize("name", ["../secrets.json", "/etc/passwd", "a//b", "", "a\x00b", "x" * 600])
def test_unusable_file_names_are_refused(world: World, name: str) -> None:
    assert call(world, "files_upload", name=name, data=b"x").status == 400


def test_a_connector_with_wrong_settings_is_refused_with_all_faults(world: World) -> None:
    body = {"system": "sql", "settings": {"dialect": "oracle", "port": "x"}, "secrets": {}}
    reply = call(world, "connectors_save", key="bad", body=body)
    assert reply.status == 400
    assert len(reply.body["errors"]) >= 3
    assert call(world, "connectors_get", key="bad").status == 404
    assert call(world, "connectors_save", key="Not A Key", body=body).status == 400


def test_connectors_show_names_of_secrets_only(world: World) -> None:
    shown = call(world, "connectors_get", key="erp").body
    assert shown["secrets"] == {"password": "erp-password"}
    assert [item["key"] for item in call(world, "connectors_list").body["items"]] == ["erp", "worklog"]


def test_an_object_type_must_be_a_json_schema(world: World) -> None:
    assert call(world, "object_types_save", name="thing", body={"schema": {"type": "nonsense"}}).status == 400
    assert call(world, "object_types_save", name="thing", body={"schema": {"type": "object"}}).status == 200
    names = [item["name"] for item in call(world, "object_types_list").body["items"]]
    assert names == ["cost_line", "spend_line", "thing"]


def test_health(world: World) -> None:
    assert call(world, "health_live").body["status"] == "ok"
    ready = call(world, "health_ready")
    assert (ready.status, ready.body["checks"]) == (200, {"database": "ok", "storage": "ok"})


def test_ready_says_which_dependency_is_down(world: World) -> None:
    url = Secret(f"postgresql+psycopg://app:hunter2@127.0.0.1:{free_port()}/sluice")
    down = replace(world, deployment=replace(world.deployment, database=Database(url)))
    reply = call(down, "health_ready")
    assert reply.status == 503
    assert "does not answer" in reply.body["checks"]["database"]
    assert reply.body["checks"]["storage"] == "ok"
    assert "hunter2" not in json.dumps(reply.body)
    assert call(down, "runs_list").status == 503


def test_a_crash_tells_the_caller_nothing_but_a_trace_id(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(_request: Request) -> Answer:
        raise ZeroDivisionError(" ".join(["secret", "detail"]))

    endpoint = Endpoint("boom", "GET", "boom", "", crash, HealthView, command="list_runs")
    request = func.HttpRequest(method="GET", url="/", body=b"")
    reply = read(answer(endpoint, Request(request, world.deployment, lambda _http: ADA, Unstarted())))
    assert (reply.status, reply.body["code"]) == (500, "internal")
    assert "secret detail" not in json.dumps(reply.body) + caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_openapi_describes_every_endpoint() -> None:
    document = openapi_document(ENDPOINTS)
    described = {
        operation["operationId"]: (path, method)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(described) == set(BY_NAME)
    refs = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert refs <= set(document["components"]["schemas"])


@pytest.mark.parametrize("kind", list(error_classes()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status(kind: type[SluiceError]) -> None:
    status = status_of(kind("x"))
    assert status in {*STATUSES.values(), 500}
    if issubclass(kind, errors.CallerError):
        assert 400 <= status < 500


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "nothing/here", 404, "/api/openapi.json"),
        ("DELETE", "workflows/labour-costs/runs", 405, "use POST"),
        ("POST", "files/a/b.csv", 405, "use PUT"),
        ("PATCH", "runs", 405, "use GET"),
    ],
)
def test_unknown_addresses_and_methods_are_clear(
    world: World, method: str, path: str, status: int, words: str
) -> None:
    endpoint = fallback_endpoint(ENDPOINTS)
    request = func.HttpRequest(
        method=method, url=f"/api/{path}", route_params={"path": f"api/{path}"}, body=b""
    )
    reply = read(answer(endpoint, Request(request, world.deployment, lambda _http: ADA, Unstarted())))
    assert reply.status == status
    assert words in reply.body["detail"]
