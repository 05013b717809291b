"""FETCH, LOOKUP and check of the SQL adapter against real PostgreSQL."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from kernel.errors import (
    AccessForbidden,
    ExternalError,
    ExternalNotFound,
    InvalidData,
    InvalidRequest,
    SystemUnavailable,
    Transient,
)
from tests.support.adapter_systems import JOB_LINES, Erp

NUMBERS = "SELECT n, n::text AS t FROM generate_series(1, :count) AS n"
COUNTED: dict[str, Any] = {
    "fetch": NUMBERS,
    "columns": {"n": "integer", "t": "text"},
    "parameters": {"count": "integer"},
}


def fetch_one(erp: Erp, expression: str, type_: str) -> Any:
    """What a fetch makes of one SQL expression."""
    adapter = erp.adapter({"o": {"fetch": f"SELECT {expression} AS c", "columns": {"c": type_}}})
    try:
        (page,) = adapter.fetch("o", {})
        return page.rows[0]["c"]
    finally:
        adapter.close()


@pytest.mark.parametrize(
    ("expression", "type_", "value"),
    [
        ("'caf\u00e9'", "text", "caf\u00e9"),
        ("NULL::text", "text", None),
        ("'12a7c2d4-0b1e-4e5f-8a4b-0d6c1f2e3a4b'::uuid", "text", "12a7c2d4-0b1e-4e5f-8a4b-0d6c1f2e3a4b"),
        ("9223372036854775807", "integer", 2**63 - 1),
        ("(SELECT sum(n) FROM generate_series(1, 3) AS n)", "integer", 6),
        ("1234567890123456789012.3456789", "decimal(38,7)", Decimal("1234567890123456789012.3456789")),
        ("7", "decimal", Decimal(7)),
        ("true", "boolean", True),
        ("date '2026-03-31'", "date", date(2026, 3, 31)),
        ("timestamptz '2026-03-31 08:00+02'", "timestamp", datetime(2026, 3, 31, 6, tzinfo=UTC)),
        ("'2026-03-31 08:00+0200'::text", "timestamp_text", "2026-03-31T08:00:00+02:00"),
        ("timestamptz '2026-03-31 08:00+02'", "timestamp_text", "2026-03-31T06:00:00+00:00"),
    ],
)
def test_values_arrive_exactly(erp: Erp, expression: str, type_: str, value: Any) -> None:
    found = fetch_one(erp, expression, type_)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("expression", "type_", "problem"),
    [
        ("0.1::float8", "decimal", "floating-point"),
        ("'NaN'::numeric", "decimal", "finite"),
        ("1.005", "decimal(8,2)", "decimal places"),
        ("1.5", "integer", "Decimal"),
        ("timestamp '2026-03-31 08:00'", "timestamp", "offset"),
        ("timestamptz '2026-03-31 08:00+02'", "date", "datetime"),
        ("ARRAY[1,2]", "text", "list"),
        ("'soon'", "timestamp_text", "ISO 8601"),
    ],
)
def test_values_that_do_not_fit_their_column_are_named(
    erp: Erp, expression: str, type_: str, problem: str
) -> None:
    with pytest.raises(InvalidData) as caught:
        fetch_one(erp, expression, type_)
    (fault,) = caught.value.faults
    assert problem in fault.message
    assert (fault.field, fault.code) == ("c", "unfit_value")


def test_pages_are_bounded_and_in_order(erp: Erp) -> None:
    adapter = erp.adapter({"numbers": {**COUNTED, "order_by": ["-n"]}})
    pages = list(adapter.fetch("numbers", {"count": 12_001}))
    assert [len(page) for page in pages] == [5000, 5000, 2001]
    numbers = [row["n"] for page in pages for row in page.rows]
    assert numbers[0] == 12_001
    assert all(isinstance(a, int) and isinstance(b, int) and a == b + 1 for a, b in pairwise(numbers))
    adapter.close()


def test_a_full_page_at_the_end_is_the_last(erp: Erp) -> None:
    adapter = erp.adapter({"numbers": COUNTED})
    assert [len(page) for page in adapter.fetch("numbers", {"count": 10_000})] == [5000, 5000]
    adapter.close()


def test_no_rows_are_one_empty_page_with_its_columns(erp: Erp) -> None:
    adapter = erp.adapter({"numbers": COUNTED})
    (page,) = adapter.fetch("numbers", {"count": 0})
    assert (len(page), [column.name for column in page.columns]) == (0, ["n", "t"])
    adapter.close()


def test_fetches_that_are_given_up_leave_their_connections(erp: Erp) -> None:
    adapter = erp.adapter({"numbers": COUNTED})
    for _ in range(5):
        pages = adapter.fetch("numbers", {"count": 20_000})
        assert len(next(pages)) == 5000
        pages.close()  # type: ignore[attr-defined]
    adapter.close()


def test_parameters_are_bound_never_pasted(erp: Erp) -> None:
    operation = {
        "lookup": "SELECT name FROM project WHERE code = :code OR name = :code",
        "columns": {"name": "text"},
        "parameters": {"code": "text"},
    }
    adapter = erp.adapter({"project": operation})
    assert adapter.lookup("project", {"code": "A"}) == {"name": "Harbour wall"}
    assert adapter.lookup("project", {"code": "x' OR '1'='1"}) is None
    with pytest.raises(InvalidRequest, match="NUL"):
        adapter.lookup("project", {"code": "a\0"})
    adapter.close()


def test_a_lookup_that_finds_several_is_refused(erp: Erp) -> None:
    adapter = erp.adapter({"all": {"lookup": "SELECT code FROM project", "columns": {"code": "text"}}})
    with pytest.raises(InvalidData, match="more than one"):
        adapter.lookup("all", {})
    adapter.close()


def test_percent_signs_colons_and_mixed_case_names(erp: Erp) -> None:
    erp.run("""INSERT INTO "Mixed Case" VALUES ('a', '10:30 100%') ON CONFLICT DO NOTHING""")
    operation = {
        "fetch": 'SELECT "Key", "Select" FROM "Mixed Case" WHERE "Select" LIKE \'10\\:30%%\' OR \'%\' = :s',
        "columns": {"Select": "text", "Key": "text"},
        "parameters": {"s": "text"},
        "order_by": ["Select"],
    }
    adapter = erp.adapter({"o": operation})
    (page,) = adapter.fetch("o", {"s": "no"})
    assert page.rows == [{"Select": "10:30 100%", "Key": "a"}]
    adapter.close()


@pytest.mark.parametrize(
    "statement",
    [
        "WITH gone AS (DELETE FROM project RETURNING code) SELECT code FROM gone",
        "SELECT setval(pg_get_serial_sequence('job_line', 'id'), 1)::text AS code",
    ],
)
def test_a_query_cannot_write(erp: Erp, statement: str) -> None:
    adapter = erp.adapter({"o": {"lookup": statement, "columns": {"code": "text"}}})
    with pytest.raises(AccessForbidden, match="may only select"):
        adapter.lookup("o", {})
    assert erp.run("SELECT count(*) FROM project") == [(2,)]
    adapter.close()


def test_what_does_not_exist_is_named(erp: Erp) -> None:
    broken = {
        "table": {"fetch": "SELECT 1 AS a FROM nowhere", "columns": {"a": "integer"}},
        "columns": {
            "fetch": "SELECT code FROM project",
            "columns": {"code": "text", "x": "text", "y": "text"},
        },
        "syntax": {"fetch": "SELECT FROM WHERE", "columns": {"a": "integer"}},
    }
    adapter = erp.adapter(broken)
    with pytest.raises(ExternalNotFound, match='relation "nowhere" does not exist'):
        list(adapter.fetch("table", {}))
    with pytest.raises(ExternalNotFound) as caught:
        list(adapter.fetch("columns", {}))
    assert [fault.field for fault in caught.value.faults] == ["x", "y"]
    with pytest.raises(ExternalError, match="does not accept the operation's statement"):
        list(adapter.fetch("syntax", {}))
    adapter.close()


def test_a_statement_that_takes_too_long_is_ended(erp: Erp) -> None:
    adapter = erp.adapter(
        {"slow": {"lookup": "SELECT pg_sleep(30)::text AS a", "columns": {"a": "text"}}}, statement_timeout=1
    )
    with pytest.raises(Transient, match="statement_timeout"):
        adapter.lookup("slow", {})
    adapter.close()


def test_a_backend_that_is_ended_while_a_page_is_read(erp: Erp) -> None:
    adapter = erp.adapter({"numbers": COUNTED})
    pages = adapter.fetch("numbers", {"count": 100_000})
    next(pages)
    erp.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'sluice' AND datname = current_database()"
    )
    with pytest.raises(SystemUnavailable):
        list(pages)
    assert len(next(adapter.fetch("numbers", {"count": 3}))) == 3
    adapter.close()


def test_more_open_fetches_than_connections_say_so(erp: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.datasource.sql.database._POOL_WAIT_SECONDS", 0.1)
    adapter = erp.adapter({"numbers": COUNTED})
    open_fetches = [adapter.fetch("numbers", {"count": 20_000}) for _ in range(3)]
    next(open_fetches[0])
    next(open_fetches[1])
    with pytest.raises(SystemUnavailable, match="in use"):
        next(open_fetches[2])
    for pages in open_fetches:
        pages.close()  # type: ignore[attr-defined]
    adapter.close()


def test_sessions_run_in_utc(erp: Erp) -> None:
    assert fetch_one(erp, "current_setting('TimeZone')", "text") == "UTC"


def test_check_tries_every_operation_and_writes_nothing(erp: Erp) -> None:
    operations = {
        "lines": JOB_LINES,
        "numbers": COUNTED,
        "no_table": {**JOB_LINES, "push": "nowhere"},
        "no_column": {**JOB_LINES, "columns": {"colour": "text"}},
        "no_key": {**JOB_LINES, "key_column": "note", "columns": {"project": "text"}},
        "wrong_type": {**JOB_LINES, "columns": {"work_date": "text"}},
        "no_query": {"fetch": "SELECT a FROM project", "columns": {"a": "text"}},
    }
    before = erp.run("SELECT count(*) FROM job_line")
    adapter = erp.adapter(operations)
    result = adapter.check()
    assert not result.ok
    assert {name for name, outcome in result.checks.items() if outcome == "ok"} == {"lines", "numbers"}
    assert "unique constraint on the key column" in result.checks["no_key"]
    assert '"nowhere" does not exist' in result.checks["no_table"]
    assert all(name in result.detail for name in ("no_table", "no_column", "wrong_type", "no_query"))
    assert erp.run("SELECT count(*) FROM job_line") == before
    adapter.close()


def test_check_of_a_healthy_connector(erp: Erp) -> None:
    adapter = erp.adapter({"lines": JOB_LINES})
    result = adapter.check()
    assert (result.ok, dict(result.checks)) == (True, {"lines": "ok"})
    adapter.close()
