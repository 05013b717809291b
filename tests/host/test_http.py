"""HTTP triggers: what a function sees of a request, and what a caller sees of its response."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.host.process import APPS, HostProcess


def _echo(host: HostProcess, method: str, path: str, **request: Any) -> dict[str, Any]:
    answer = host.client.request(method, f"/v1/echo{path}", **request)
    assert answer.status_code == 200, answer.text
    seen: dict[str, Any] = answer.json()
    return seen


def test_request_line_and_route(http_host: HostProcess) -> None:
    seen = _echo(http_host, "DELETE", "/a%20b/c%2Fd?x=1")
    assert seen["method"] == "DELETE"
    assert seen["url"].endswith("/v1/echo/a%20b/c%2Fd?x=1")
    assert seen["url"].startswith("http://127.0.0.1:")
    assert seen["route"] == {"rest": "a b/c%2Fd"}


def test_repeated_headers_and_query_values_are_joined(http_host: HostProcess) -> None:
    headers = [("X-Tag", "one"), ("x-tag", "two"), ("Accept-Language", "de, en")]
    seen = _echo(http_host, "GET", "/?tag=a&Tag=b&empty=&umlaut=%C3%BC", headers=headers)
    assert seen["headers"]["x-tag"] == "one,two"
    assert seen["headers"]["accept-language"] == "de, en"
    assert seen["params"] == {"tag": "a,b", "empty": "", "umlaut": "ü"}


def test_where_a_request_comes_from_stands_behind_what_it_says(http_host: HostProcess) -> None:
    assert _echo(http_host, "GET", "/")["headers"]["x-forwarded-for"] == "127.0.0.1"
    seen = _echo(http_host, "GET", "/", headers={"X-Forwarded-For": "10.0.0.1"})
    assert seen["headers"]["x-forwarded-for"] == "10.0.0.1,127.0.0.1"


def test_binary_body(http_host: HostProcess) -> None:
    assert _echo(http_host, "POST", "/", content=bytes(range(256)))["body"] == bytes(range(256)).hex()


def test_chunked_body(http_host: HostProcess) -> None:
    seen = _echo(http_host, "PUT", "/", content=iter([b"one ", b"two"]))
    assert bytes.fromhex(seen["body"]) == b"one two"


def test_form_and_file_bodies(http_host: HostProcess) -> None:
    assert _echo(http_host, "POST", "/", data={"name": ["a", "b"]})["form"] == {"name": ["a", "b"]}
    files = {"upload": ("hours.csv", b"\x00\xffdata", "text/csv")}
    seen = _echo(http_host, "POST", "/", files=files, data={"note": "ü"})
    assert seen["files"] == {"upload": ["hours.csv", b"\x00\xffdata".hex()]}
    assert seen["form"] == {"note": ["ü"]}


def test_largest_body_and_one_byte_more(http_host: HostProcess) -> None:
    assert len(_echo(http_host, "POST", "/", content=b"x" * 1_000_000)["body"]) == 2_000_000
    for body in (b"x" * 1_000_001, iter([b"x" * 600_000] * 2)):
        answer = http_host.client.post("/v1/echo/", content=body)
        assert answer.status_code == 413
        assert "1000000 bytes" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/items/7", ["number", "7"]),
        ("GET", "/V1/ITEMS/7", ["number", "7"]),
        ("GET", "/v1/items/7/", ["number", "7"]),
        ("GET", "/v1/items/99999999999", ["name", "99999999999"]),
        ("GET", "/v1/items/newest", ["newest"]),
        ("GET", "/v1/items/oldest", ["name", "oldest"]),
        ("PATCH", "/v1/items/7", ["PATCH", "7"]),
        ("GET", "/v1/reports/2026", {"year": "2026", "month": "jan"}),
        ("GET", "/v1/reports/2026/feb/3", {"year": "2026", "month": "feb", "page": "3"}),
    ],
)
def test_routing(http_host: HostProcess, method: str, path: str, expected: object) -> None:
    answer = http_host.client.request(method, path)
    assert (answer.status_code, answer.json()) == (200, expected)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/items/7"),
        ("HEAD", "/v1/items/7"),
        ("GET", "/v1/items"),
        ("GET", "/v1/reports/1999"),
        ("GET", "/v1/reports/2026/febr"),
        ("GET", "/api/items/7"),
        ("GET", "/v1/switched_off"),
        ("GET", "/v1/no/such/route"),
    ],
)
def test_no_such_route(http_host: HostProcess, method: str, path: str) -> None:
    answer = http_host.client.request(method, path)
    assert (answer.status_code, answer.text) == (404, "")


def test_first_declared_function_wins_an_equal_route(http_host: HostProcess) -> None:
    assert http_host.client.post("/v1/whoami").json()["function"] == "plain"


def test_keys_are_not_asked_for_locally(http_host: HostProcess) -> None:
    assert http_host.client.get("/v1/admin_only").status_code == 200


def test_async_on_the_loop_and_sync_on_the_pool(http_host: HostProcess) -> None:
    assert http_host.client.get("/v1/admin_only").json() is True
    assert http_host.client.get("/v1/whoami").json()["thread"].startswith("ThreadPoolExecutor")


def test_text_result(http_host: HostProcess) -> None:
    answer = http_host.client.get("/v1/text")
    assert answer.text == "grüezi"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_response_through_an_output_parameter(http_host: HostProcess) -> None:
    answer = http_host.client.get("/v1/out")
    assert (answer.status_code, answer.text, answer.headers["x-from"]) == (201, "out", "out")


def test_binary_response(http_host: HostProcess) -> None:
    answer = http_host.client.get("/v1/binary")
    assert answer.content == bytes(range(256))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == "256"


@pytest.mark.parametrize("code", [200, 204, 304, 404, 418, 503])
def test_status_without_body(http_host: HostProcess, code: int) -> None:
    answer = http_host.client.get(f"/v1/status/{code}")
    assert (answer.status_code, answer.content) == (code, b"")


def test_custom_headers_of_host_json(http_host: HostProcess) -> None:
    for path in ("/v1/status/204", "/nowhere"):
        assert http_host.client.get(path).headers["x-content-type-options"] == "nosniff"


def test_cookies(http_host: HostProcess) -> None:
    answer = http_host.client.get("/v1/cookies", headers={"cookie": "a=1; b=2"})
    assert answer.text == "a=1; b=2"
    assert answer.headers.get_list("set-cookie") == [
        "first=1; HttpOnly; Path=/",
        "second=two; Max-Age=60; SameSite=Lax; Secure",
    ]


def test_failures_are_500_with_the_trace_in_the_log_only(http_host: HostProcess) -> None:
    answer = http_host.client.get("/v1/fail")
    assert (answer.status_code, answer.content) == (500, b"")
    http_host.logged("KeyError: 'the secret ingredient'")
    assert "azure_functions_runtime" not in http_host.log()
    assert http_host.client.get("/v1/nothing").status_code == 500
    http_host.logged("unable to encode outgoing TypedData")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("100", "its status is 100, which is not between 200 and 599"),
        ("600", "its status is 600, which is not between 200 and 599"),
        ("header", "a header has the character '日'"),
    ],
)
def test_responses_that_cannot_be_sent(http_host: HostProcess, kind: str, reason: str) -> None:
    answer = http_host.client.get(f"/v1/unusable/{kind}")
    assert (answer.status_code, answer.content) == (500, b"")
    http_host.logged(f"The response of 'Functions.unusable' cannot be sent: {reason}.")


def test_environment_of_core_tools(http_host: HostProcess) -> None:
    assert http_host.client.get("/v1/setting/AZURE_FUNCTIONS_ENVIRONMENT").json() == "Development"
    hostname = f"localhost:{http_host.client.base_url.port}"
    assert http_host.client.get("/v1/setting/WEBSITE_HOSTNAME").json() == hostname


def test_settings_of_the_file(http_host: HostProcess) -> None:
    assert http_host.client.get("/v1/setting/GREETING").json() == "hello from the file"


def test_invocation_context(http_host: HostProcess) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    seen = http_host.client.get("/v1/context", headers={"traceparent": parent, "tracestate": "a=b"}).json()
    assert seen["function"] == "context_of"
    assert Path(seen["directory"]) == APPS / "http"
    assert seen["local"] == seen["invocation"]
    assert seen["parent"].split("-")[1] == parent.split("-")[1]
    assert seen["parent"] != parent
    assert (seen["state"], seen["retries"]) == ("a=b", 0)
    http_host.logged(f"in invocation {seen['invocation']}")


def test_async_functions_run_side_by_side(http_host: HostProcess) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: http_host.client.get("/v1/nap/500"), range(20)))
    assert all(answer.text == "napped" for answer in answers)
    assert max(answer.elapsed.total_seconds() for answer in answers) < 5


def test_pages_of_the_host(http_host: HostProcess) -> None:
    assert "up and running" in http_host.client.get("/").text
    assert http_host.client.get("/admin/host/ping").status_code == 200
    assert http_host.client.get("/admin/host/status").json()["state"] == "Running"
    functions = {function["name"]: function for function in http_host.client.get("/admin/functions").json()}
    assert functions["report"]["invoke_url_template"].endswith(
        "/v1/reports/{year:range(2000,2100)}/{month:regex(^[a-z]{{3}}$)=jan}/{page?}"
    )
    assert functions["text"]["config"]["bindings"][0]["type"] == "httpTrigger"


def test_pages_of_the_host_are_for_this_machine_only(http_host: HostProcess) -> None:
    answer = http_host.client.get("/admin/functions", headers={"origin": "https://example.com"})
    assert answer.status_code == 403
    answer = http_host.client.get("/admin/functions", headers={"origin": "http://localhost:3000"})
    assert answer.status_code == 200


def test_function_list_as_func_prints_it(http_host: HostProcess) -> None:
    log = http_host.log()
    base = str(http_host.client.base_url).rstrip("/").replace("127.0.0.1", "localhost")
    assert f"\titem_by_number: [GET] {base}/v1/items/{{id:int}}\n" in log
    assert f"\ttext: {base}/v1/text\n" in log
    assert "\tFunction switched_off is disabled.\n" in log
    assert "Worker process started and initialized.\n" in log
    assert json.dumps(base)[1:-1] in log.split("Host started in ")[1]
