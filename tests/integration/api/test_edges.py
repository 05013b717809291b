"""Requests that nobody means: each gets a clear answer, none a crash."""

import json
from dataclasses import replace
from uuid import uuid4

import pytest

from kernel.secrets import Secret
from store.blobs import FILES
from store.database import Database
from tests.integration.api.test_api import BY_NAME, call
from tests.support.services import Database as Empty
from tests.support.world import SMALL_LOG, World, work_log
from triggers.blueprint import ENDPOINTS
from triggers.openapi import openapi_document

DEEP = b'{"inputs": {"file": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"inputs": {"file": "a\\u0000b"}}', "NUL"),
        (b'{"inputs": {"a\\u0000b": "x"}}', "NUL"),
        (b'{"inputs": {"file": "\\ud800"}}', "surrogate"),
        (b'{"inputs": {"file": "x"}, "reason": "\\u0000"}', "NUL"),
        (b'{"inputs": {"file": "x", "line_limit": NaN}}', "NaN"),
        (b'{"inputs": {"file": "x", "line_limit": ' + b"9" * 5_000 + b"}}", "too large"),
        (DEEP, "too deep"),
        (b'{"inputs": {"file": ' + b"[" * 80 + b"]" * 80 + b"}}", "too deep"),
    ],
    ids=[
        "NUL",
        "NUL in a name",
        "half a pair",
        "NUL in the reason",
        "NaN",
        "huge number",
        "very deep",
        "deep",
    ],
)
def test_json_that_cannot_be_stored_is_400(world: World, data: bytes, words: str) -> None:
    world.publish()
    reply = call(world, "runs_start", key="labour-costs", data=data)
    assert reply.status == 400
    assert words in reply.body["detail"]


@pytest.mark.parametrize(
    ("name", "query", "key"),
    [
        ("workflows_get", {}, "a\0b"),
        ("runs_list", {"workflow": "a\0b"}, ""),
        ("runs_list", {"limit": "1" * 5_000}, ""),
        ("workflows_list", {"cursor": "\0"}, ""),
        ("connectors_get", {}, "\ud800"),
    ],
)
def test_addresses_that_cannot_be_looked_up_are_400(
    world: World, name: str, query: dict[str, str], key: str
) -> None:
    assert call(world, name, query=query, key=key).status == 400


def test_a_foreign_cursor_of_dead_letters_is_400(world: World) -> None:
    world.publish()
    run = world.start(file="x")
    reply = call(world, "runs_dead_letters", id=str(run.id), query={"cursor": "7"})
    assert (reply.status, reply.body["code"]) == (400, "invalid_request")


def test_a_form_with_parts_is_not_stored_as_a_file(world: World) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for endpoint in ("files_upload", "workflows_publish"):
        reply = call(world, endpoint, data=b"--x", headers=headers)
        assert (reply.status, reply.body["code"]) == (415, "unsupported_media")


def test_a_schema_may_have_limits_with_decimals(world: World) -> None:
    schema = {"type": "object", "properties": {"amount": {"type": "number", "minimum": 0.01}}}
    assert call(world, "object_types_save", name="thing", body={"schema": schema}).status == 200
    assert world.sql("SELECT schema FROM sluice.business_object_type WHERE name = 'thing'") == [(schema,)]


def test_money_in_a_request_stays_as_it_was_written(world: World) -> None:
    world.publish()
    reply = call(
        world, "runs_start", key="labour-costs", data=b'{"inputs": {"file": "x", "line_limit": 0.10}}'
    )
    assert reply.body["inputs"]["line_limit"] == "0.10"


def test_a_credential_among_settings_is_refused_and_not_repeated(world: World) -> None:
    address = "https://a.blob.core.windows.net?sv=1&sig=c4n4ry"
    settings = {"container": "aaa", "identity": "managed", "account_url": address}
    reply = call(world, "connectors_save", key="leaky", body={"system": "files", "settings": settings})
    assert reply.status == 400
    assert [fault["path"] for fault in reply.body["errors"]] == ["settings.account_url"]
    assert "c4n4ry" not in json.dumps(reply.body)
    assert call(world, "connectors_get", key="leaky").status == 404


def test_an_upload_that_was_cut_off_is_recorded_by_its_repeat(world: World) -> None:
    name, data = f"{uuid4().hex}.csv", work_log(SMALL_LOG)
    world.services.blobs.write(FILES, name, data)
    assert call(world, "files_upload", name=name, data=data).status == 201
    found = world.sql("SELECT details FROM sluice.audit_event WHERE subject = %s", [name])
    assert [details["bytes"] for (details,) in found] == [len(data)]


def test_ready_without_a_schema_is_503(world: World, database: Empty) -> None:
    empty = Database(Secret(database.app_url))
    try:
        reply = call(replace(world, deployment=replace(world.deployment, database=empty)), "health_ready")
    finally:
        empty.close()
    assert reply.status == 503
    assert "schema" in reply.body["checks"]["database"]


def test_a_pool_without_free_connections_is_unavailable(world: World) -> None:
    with world.deployment.database.reading() as connection:
        url = connection.engine.url.render_as_string(hide_password=False)
    small = Database(Secret(url), pool_size=1, wait_seconds=0.2)
    down = replace(world, deployment=replace(world.deployment, database=small))
    with small.reading(), small.reading():
        reply = call(down, "runs_list")
    small.close()
    assert (reply.status, reply.body["code"]) == (503, "unavailable")


def test_openapi_names_every_status_of_success_and_the_shape_of_problems() -> None:
    document = openapi_document(ENDPOINTS)
    described = {
        operation["operationId"]: set(operation["responses"])
        for methods in document["paths"].values()
        for operation in methods.values()
    }
    assert described["workflows_publish"] == {"200", "201", "default"}
    assert described["connectors_save"] == {"200", "201", "default"}
    assert described["health_ready"] == {"200", "503", "default"}
    assert set(described) == set(BY_NAME)
    assert "trace_id" in document["components"]["schemas"]["ProblemView"]["properties"]
