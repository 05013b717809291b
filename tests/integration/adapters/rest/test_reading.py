"""Reading from a real server: every style of paging, and what goes wrong on the way."""

import traceback
from typing import Any

import pytest

from adapters.contract import Adapter
from kernel.errors import (
    ExternalError,
    ExternalNotFound,
    InvalidData,
    InvalidRequest,
    RateLimited,
    SystemUnavailable,
    Transient,
)
from tests.integration.adapters.rest.conftest import MakeAdapter
from tests.support.erp_server.client import ErpServer
from tests.support.erp_server.faults import FaultKind, RetryForm
from tests.support.erp_server.hazards import BUSY_SECONDS

STYLES: dict[str, dict[str, Any]] = {
    "link_header": {"pages": {"style": "link_header"}},
    "next_url": {"items": "value", "pages": {"style": "next_url", "next": ["@next.link"]}},
    "cursor": {
        "items": "data.items",
        "pages": {"style": "cursor", "next": "meta.cursor", "parameter": "start"},
    },
    "page_number": {"items": "items", "pages": {"style": "page_number", "total_pages": "pages"}},
    "offset_limit": {
        "items": "items",
        "pages": {"style": "offset_limit", "offset": "start", "limit": "size", "size": 2, "total": "total"},
    },
}
WORKERS = [{"n": n, "name": f"Worker {n}"} for n in range(5)]


def fetching(style: str, **changes: Any) -> dict[str, Any]:
    spec = {
        "fetch": f"/pages/{style}/workers",
        "query": {"size": "2"} if style != "offset_limit" else {},
        "columns": {"n": "integer", "name": "text"},
        **STYLES[style],
        **changes,
    }
    return {"workers": spec}


def read(adapter: Adapter, operation: str = "workers", **parameters: Any) -> list[dict[str, Any]]:
    return [row for page in adapter.fetch(operation, parameters) for row in page.rows]


@pytest.fixture(autouse=True)
def workers(server: ErpServer) -> None:
    server.put_records("workers", WORKERS)


@pytest.mark.parametrize("style", STYLES)
def test_every_style_delivers_every_record_once(make_adapter: MakeAdapter, style: str) -> None:
    assert read(make_adapter(fetching(style))) == WORKERS


@pytest.mark.parametrize("style", STYLES)
def test_no_records_are_one_empty_page(server: ErpServer, make_adapter: MakeAdapter, style: str) -> None:
    server.put_records("workers", [])
    pages = list(make_adapter(fetching(style)).fetch("workers", {}))
    assert [len(page) for page in pages] == [0]


@pytest.mark.parametrize(
    ("style", "trap", "told"),
    [
        ("link_header", "loop", "same page again"),
        ("next_url", "loop", "same page again"),
        ("cursor", "endless", "max_pages"),
        ("link_header", "endless", "max_pages"),
        ("next_url", "endless", "max_pages"),
        ("link_header", "foreign", "another server"),
        ("next_url", "foreign", "another server"),
    ],
)
def test_pages_that_lead_astray_are_noticed(
    make_adapter: MakeAdapter, style: str, trap: str, told: str
) -> None:
    operations = fetching(style, query={"size": "2", "trap": trap}, max_pages=4)
    with pytest.raises(ExternalError, match=told):
        read(make_adapter(operations))


def test_redirects_stay_with_the_system(make_adapter: MakeAdapter, server: ErpServer) -> None:
    def to(target: str) -> dict[str, Any]:
        columns = {"n": "integer"}
        return {"workers": {"fetch": "/redirect", "query": {"to": target}, "columns": columns}}

    assert len(read(make_adapter(to("/pages/link_header/workers")))) == 2
    assert len(read(make_adapter(to(f"{server.url}/pages/link_header/workers")))) == 2
    for foreign in ("http://127.0.0.1:9/x", "https://evil.example.com", "//evil.example.com/x"):
        with pytest.raises(ExternalError, match="another server"):
            read(make_adapter(to(foreign)))
    with pytest.raises(ExternalError, match="again and again"):
        read(make_adapter(to("/redirect")))


def test_an_answer_that_is_too_large_is_not_read_to_its_end(make_adapter: MakeAdapter) -> None:
    large = {"workers": {"fetch": "/large", "query": {"bytes": "5000000"}, "columns": {"n": "integer"}}}
    with pytest.raises(InvalidData, match="larger than 10,000 bytes"):
        read(make_adapter(large, max_bytes=10_000))


def test_fields_that_are_missing_or_do_not_fit_are_named(
    server: ErpServer, make_adapter: MakeAdapter
) -> None:
    server.put_records("workers", [{"n": 1, "name": "A"}, {"n": "two"}])
    with pytest.raises(InvalidData) as caught:
        read(make_adapter(fetching("link_header")))
    assert [(fault.code, fault.field) for fault in caught.value.faults] == [
        ("unfit_value", "n"),
        ("missing_field", "name"),
    ]
    assert "two" not in caught.value.message
    server.put_records("workers", [{"n": 1}])
    assert read(make_adapter(fetching("link_header", optional=["name"]))) == [{"n": 1, "name": None}]


def test_answers_of_another_shape_are_told(make_adapter: MakeAdapter) -> None:
    with pytest.raises(InvalidData, match="no array at rows"):
        read(make_adapter(fetching("link_header", items="rows")))


def worker(**changes: Any) -> dict[str, Any]:
    spec = {
        "lookup": "/records/workers/name/{name}",
        "columns": {"n": "integer"},
        "parameters": {"name": "text"},
    }
    return {"worker": spec | changes}


def test_a_lookup_finds_one_or_none(server: ErpServer, make_adapter: MakeAdapter) -> None:
    server.put_records("workers", [{"n": 1, "name": "Ann/../? &#"}])
    adapter = make_adapter(worker())
    assert adapter.lookup("worker", {"name": "Bob"}) is None
    for name in ("", ".", ".."):
        with pytest.raises(InvalidRequest):
            adapter.lookup("worker", {"name": name})
    with pytest.raises(ExternalNotFound):
        make_adapter(worker(lookup="/nowhere", query={"name": "{name}"})).lookup("worker", {"name": "Bob"})


def test_a_lookup_that_finds_several_is_an_error(make_adapter: MakeAdapter) -> None:
    several = worker(lookup="/pages/link_header/workers", query={"of": "{name}"})
    with pytest.raises(InvalidData, match="more than one"):
        make_adapter(several).lookup("worker", {"name": "x"})


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.FAILED])
def test_a_short_failure_of_a_read_is_not_noticed(
    server: ErpServer, make_adapter: MakeAdapter, kind: FaultKind
) -> None:
    server.fault(kind, "reads", times=2)
    before = server.state()["requests"]
    assert read(make_adapter(fetching("link_header", query={"size": "9"}))) == WORKERS
    assert server.state()["requests"] == before + 3


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.FAILED, FaultKind.NEVER])
def test_a_longer_failure_of_a_read_is_left_to_the_engine(
    server: ErpServer, make_adapter: MakeAdapter, kind: FaultKind
) -> None:
    server.fault(kind, "reads", times=9)
    before = server.state()["requests"]
    with pytest.raises(Transient):
        read(make_adapter(fetching("link_header"), timeout=0.3))
    assert server.state()["requests"] <= before + 3


A_DAY = 86_400


@pytest.mark.parametrize("form", list(RetryForm))
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_system_says_when_to_come_back(
    server: ErpServer, make_adapter: MakeAdapter, status: int, form: RetryForm
) -> None:
    server.fault(FaultKind.BUSY, "reads", times=3, status=status, retry=form)
    with pytest.raises(Transient) as caught:
        read(make_adapter(fetching("link_header")))
    asked = caught.value.retry_after
    said = form not in (RetryForm.NONE, RetryForm.NONSENSE)
    assert isinstance(caught.value, RateLimited if status == 429 or said else SystemUnavailable)
    if not said:
        assert asked is None
    elif form in (RetryForm.PAST, RetryForm.HUGE):
        assert asked == {RetryForm.PAST: 0, RetryForm.HUGE: A_DAY}[form]
    else:
        assert asked is not None
        assert BUSY_SECONDS - 2 <= asked <= BUSY_SECONDS + 1


@pytest.mark.parametrize("kind", [FaultKind.WRONG_TYPE, FaultKind.TRUNCATED, FaultKind.ERROR_BODY])
def test_an_answer_that_cannot_be_used_is_no_data(
    server: ErpServer, make_adapter: MakeAdapter, kind: FaultKind
) -> None:
    server.fault(kind, "reads")
    with pytest.raises(ExternalError):
        read(make_adapter(fetching("link_header")))


def test_parameters_do_not_come_back_in_errors(server: ErpServer, make_adapter: MakeAdapter) -> None:
    private = "can" + "ary name"  # in two parts, as tracebacks quote these lines
    server.fault(FaultKind.FAILED, "reads", times=3)
    spec = fetching("link_header", query={"of": "{name}"}, parameters={"name": "text"})
    with pytest.raises(Transient) as caught:
        read(make_adapter(spec), name=private)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_the_connection_test_tries_what_it_can(server: ErpServer, make_adapter: MakeAdapter) -> None:
    operations = fetching("link_header") | worker()
    result = make_adapter(operations).check()
    assert result.ok
    assert result.checks == {"workers": "ok", "worker": "not tried: it needs parameters"}
    result = make_adapter(fetching("link_header", items="rows")).check()
    assert not result.ok
    assert "no array at rows" in result.checks["workers"]
    assert not make_adapter(operations, check="/nowhere").check().ok
    server.control(required={"authorization": "Bearer other"})
    assert not make_adapter(operations).check().ok
