"""Settings of REST connectors: what they mean, and every fault at its place."""

import subprocess
import sys
from typing import Any

import pytest

from adapters.contract import Connector, Idempotency
from adapters.datasource.rest.catalogue import operations, parsed_settings
from adapters.datasource.rest.settings import RestSettings
from adapters.registry import describe
from kernel.errors import InvalidRequest
from kernel.verbs import Verb

COLUMNS = {"project": "text", "amount": "decimal(18,2)"}
FETCH: dict[str, Any] = {"fetch": "/lines", "items": "data", "columns": COLUMNS}
LOOKUP: dict[str, Any] = {"lookup": "/lines/{id}", "columns": COLUMNS, "parameters": {"id": "text"}}
FIND: dict[str, Any] = {"path": "/lines", "query": {"ref": "{key}"}, "record": "items", "id": "id"}
PUSH: dict[str, Any] = {
    "push": "/lines",
    "columns": COLUMNS,
    "idempotency": "lookup",
    "key": {"field": "ref"},
    "find": FIND,
}
BATCH: dict[str, Any] = {
    "push": "/batches",
    "columns": COLUMNS,
    "batch_size": 10,
    "answer": {"results": "results"},
}


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "base_url": "https://erp.example.com/api/",
        "operations": {"lines": FETCH, "line": LOOKUP, "post": PUSH},
        **changes,
    }


def faults(**changes: Any) -> set[str]:
    with pytest.raises(InvalidRequest) as caught:
        parsed_settings(settings(**changes))
    return {f"{fault.path} {fault.code}" for fault in caught.value.faults}


def post_faults(spec: dict[str, Any]) -> set[str]:
    return {fault.removeprefix("operations.post") for fault in faults(operations={"post": spec})}


def test_the_catalogue_says_what_each_operation_does() -> None:
    found = operations(parsed_settings(settings(operations={"l": FETCH, "o": LOOKUP, "p": PUSH, "b": BATCH})))
    assert [operation.verb for operation in found.values()] == [Verb.FETCH, Verb.LOOKUP, Verb.PUSH, Verb.PUSH]
    assert found["p"].idempotency is Idempotency.LOOKUP
    assert (found["p"].batch_size, found["b"].batch_size) == (1, 10)


@pytest.mark.parametrize(
    "url",
    [
        "http://erp.example.com",
        "https://user@erp.example.com",
        "https://erp.example.com?x=1",
        "https://erp.example.com/#x",
        "https://erp.example.com:0",
        "https://erp.example.com:99999",
        "ftp://erp.example.com",
        "erp.example.com",
        "https://",
        "http://127.0.0.1.example.com",
    ],
)
def test_addresses_that_are_not_safe_are_refused(url: str) -> None:
    assert faults(base_url=url) == {"base_url value_error"}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:80", "https://a.b/c"]
)
def test_plain_http_is_for_loopback(url: str) -> None:
    assert parsed_settings(settings(base_url=url)).origin == url.removesuffix("/c")


@pytest.mark.parametrize(
    "path", ["lines", "//evil.example.com", "/a/../b", "/a b", "/a?b=1", "/a#b", "/./a", ""]
)
def test_paths_stay_below_the_base(path: str) -> None:
    assert faults(operations={"lines": FETCH | {"fetch": path}}) == {
        "operations.lines.fetch.fetch value_error"
    }


@pytest.mark.parametrize(
    "auth", ["digest", {"basic": "u", "header": "X"}, {}, 7, None, {"bearer": "secret-canary"}]
)
def test_ways_to_sign_in_are_named(auth: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed_settings(settings(auth=auth))
    assert "canary" not in str(caught.value)


def test_the_secret_that_auth_needs_is_the_one_that_must_be_mapped() -> None:
    ways: dict[str, Any] = {
        "token": "bearer",
        "password": {"basic": "sluice"},
        "api_key": {"header": "X-Api-Key"},
        "client_secret": {"oauth": {"token_url": "https://id.example.com/token", "client_id": "c"}},
    }
    for secret, auth in ways.items():
        assert describe(Connector("erp", "rest", settings(auth=auth), {secret: "s"}))
        with pytest.raises(InvalidRequest) as caught:
            describe(Connector("erp", "rest", settings(auth=auth)))
        assert [fault.path for fault in caught.value.faults] == [f"secrets.{secret}"]
    assert describe(Connector("erp", "rest", settings()))


def test_headers_that_carry_credentials_do_not_belong_in_settings() -> None:
    assert faults(headers={"Authorization": "Bearer x", "X-Tenant": "7"}) == {
        "headers.Authorization reserved_header"
    }
    assert faults(headers={"X-Tenant": "7\r\nX: 1"}) == {"headers.X-Tenant value_error"}


def test_parameters_are_declared_and_used() -> None:
    assert faults(operations={"lines": FETCH | {"query": {"from": "{since}"}}}) == {
        "operations.lines undeclared_parameter"
    }
    assert faults(operations={"line": LOOKUP | {"parameters": {"id": "text", "day": "date"}}}) == {
        "operations.line.parameters.day unused_parameter"
    }
    assert faults(operations={"lines": FETCH | {"fields": {"hours": "h"}, "optional": ["day"]}}) == {
        "operations.lines.fields.hours unknown_column",
        "operations.lines.optional.day unknown_column",
    }


def test_pages_have_a_known_style() -> None:
    assert faults(operations={"lines": FETCH | {"pages": {"style": "scroll"}}}) == {
        "operations.lines.fetch.pages union_tag_invalid"
    }
    assert faults(operations={"lines": FETCH | {"pages": {"style": "cursor", "next": "n"}}}) == {
        "operations.lines.fetch.pages.cursor.parameter missing"
    }


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"key": None}, {".key missing_key", ".find.key inexact_find"}),
        ({"find": None}, {".find missing_find"}),
        ({"idempotency": "native", "find": None, "overwrites": True}, {".find missing_find"}),
        ({"find": FIND | {"query": {}}}, {".find missing_key"}),
        ({"key": {"header": "Idempotency-Key"}}, {".find.key inexact_find"}),
        ({"key": {"path": True}, "find": FIND | {"key": "ref"}}, {".push missing_key"}),
        ({"key": {"field": "project"}}, {".key.field reserved_column"}),
        ({"answer": {"results": "r"}}, {".answer.results not_a_batch"}),
        ({"answer": {"key": "k"}}, {".answer.key not_a_batch"}),
        ({"atomic": True}, {".atomic not_a_batch"}),
        ({"batch_size": 10}, {".answer.results missing_results"}),
        (
            {"batch_size": 10, "atomic": True, "key": {"header": "K"}, "find": FIND | {"key": "ref"}},
            {".key key_of_batch"},
        ),
        ({"key": {"field": "ref", "header": "K"}}, {".push.key value_error"}),
        ({"key": {"field": "ref", "length": 8}}, {".push.key.length greater_than_equal"}),
    ],
)
def test_a_push_that_could_not_be_exactly_once_is_refused(changes: dict[str, Any], found: set[str]) -> None:
    assert post_faults(PUSH | changes) == found


def test_an_operation_is_one_of_three() -> None:
    assert faults(operations={"x": {"columns": COLUMNS}}) == {"operations.x operation_kind"}
    assert faults(operations={"x": FETCH | {"push": "/lines"}}) == {"operations.x operation_kind"}


def test_production_hosts_are_compared_without_case_and_dots() -> None:
    parsed = RestSettings.model_validate(settings(production_hosts=["ERP.example.com."]))
    assert parsed.is_production_host


def test_the_http_library_is_not_imported_before_it_is_used() -> None:
    program = (
        "import sys\n"
        "from adapters.contract import Connector\n"
        "from adapters.registry import describe, get_adapter\n"
        f"connector = Connector('erp', 'rest', {settings()!r})\n"
        "describe(connector)\n"
        "get_adapter(connector, 'sandbox', None).close()\n"
        "print(sorted({'httpx2', 'ssl', 'anyio'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
