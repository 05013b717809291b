"""SQL over records: exact to the last digit, safe between threads, silent about values."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Context, Decimal
from threading import Barrier, Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import InvalidData
from kernel.records import Column, ColumnKind, Record, Records, parse_columns
from tests.unit.workflows.catalogue import ENGINE
from workflows.prepared import MOST_ROWS
from workflows.sql import SqlEngine

CANARY = "canary-4711"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS)  # noqa: DTZ001


EXACT = Context(prec=60)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda digits: Decimal(digits).scaleb(-scale, EXACT))


VALUES: dict[ColumnKind, st.SearchStrategy[Any]] = {
    ColumnKind.TEXT: TEXTS,
    ColumnKind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ColumnKind.BOOLEAN: st.booleans(),
    ColumnKind.DATE: st.dates(),
    ColumnKind.TIMESTAMP: INSTANTS,
    ColumnKind.TIMESTAMP_TEXT: INSTANTS.map(datetime.isoformat),
}
SIZES = st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p)))
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
COLUMNS = st.builds(Column, NAMES, st.sampled_from(sorted(VALUES))) | st.builds(
    lambda name, size: Column(name, ColumnKind.DECIMAL, *size), NAMES, SIZES
)


def values_of(column: Column) -> st.SearchStrategy[Any]:
    exact = column.kind is ColumnKind.DECIMAL
    return st.none() | (decimals(column.precision, column.scale) if exact else VALUES[column.kind])


@st.composite
def some_records(draw: st.DrawFn) -> Records:
    columns = draw(st.lists(COLUMNS, min_size=1, max_size=4, unique_by=lambda column: column.name.lower()))
    row = st.fixed_dictionaries({column.name: values_of(column) for column in columns})
    return Records(tuple(columns), draw(st.lists(row, max_size=5)))


@settings(max_examples=100, deadline=None)
@given(some_records())
def test_records_come_back_from_sql_as_they_went_in(records: Records) -> None:
    found = ENGINE.run("SELECT * FROM t", {"t": records})
    assert found.rows == records.rows
    plain = {ColumnKind.TIMESTAMP_TEXT: ColumnKind.TEXT}
    assert [(column.name, column.kind) for column in found.columns] == [
        (column.name, plain.get(column.kind, column.kind)) for column in records.columns
    ]
    types = {ColumnKind.DECIMAL: Decimal, ColumnKind.INTEGER: int, ColumnKind.BOOLEAN: bool}
    for column in found.columns:
        given_values = [row[column.name] for row in found.rows if row[column.name] is not None]
        assert all(type(value) is types.get(column.kind, type(value)) for value in given_values)


@settings(max_examples=40, deadline=None)
@given(some_records())
def test_what_sql_yields_can_go_in_again_and_is_described_beforehand(records: Records) -> None:
    first = ENGINE.run("SELECT * FROM t", {"t": records})
    assert ENGINE.run("SELECT * FROM u", {"u": first}).rows == records.rows
    shape = {"t": records.columns}
    assert ENGINE.describe("SELECT * FROM t", shape) == first.columns


@settings(max_examples=40, deadline=None)
@given(SIZES.flatmap(lambda size: st.tuples(st.just(size), st.lists(decimals(*size), max_size=6))))
def test_decimals_keep_their_scale(sized: tuple[tuple[int, int], list[Decimal]]) -> None:
    (precision, scale), values = sized
    column = Column("d", ColumnKind.DECIMAL, precision, scale)
    found = ENGINE.run("SELECT * FROM t", {"t": Records((column,), [{"d": value} for value in values])})
    assert found.columns == (column,)
    assert [format(row["d"], "f") for row in found.rows] == [format(value, "f") for value in values]


@settings(max_examples=40, deadline=None)
@given(st.lists(decimals(18, 2) | st.none(), max_size=20))
def test_measures_are_exact(amounts: list[Decimal | None]) -> None:
    records = Records(parse_columns({"amount": "decimal(18,2)"}), [{"amount": amount} for amount in amounts])
    known = [amount for amount in amounts if amount is not None]
    found = ENGINE.measure(
        {
            "total": "sum(amount)",
            "lines": "count(*)",
            "top": "max(amount)",
            "large": "count(*) FILTER (amount > 5)",
        },
        records,
    )
    assert found == {
        "total": sum(known, Decimal(0)),
        "lines": len(amounts),
        "top": max(known, default=0),
        "large": sum(1 for amount in known if amount > 5),
    }


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_whole_numbers_are_summed_without_overflow(numbers: list[int]) -> None:
    records = Records(parse_columns({"n": "integer"}), [{"n": number} for number in numbers])
    assert ENGINE.measure({"total": "sum(n)"}, records) == {"total": sum(numbers)}


def test_measures_of_nothing_are_zero() -> None:
    empty = Records(parse_columns({"amount": "decimal(18,2)", "n": "integer"}))
    assert ENGINE.measure({"a": "sum(amount)", "b": "sum(n)", "c": "count(*)", "d": "max(n)"}, empty) == {
        "a": 0,
        "b": 0,
        "c": 0,
        "d": 0,
    }
    assert ENGINE.measure({}, empty) == {}


@pytest.mark.parametrize("measure", ["n", "sum(n) OVER ()", "n + count(*)", "no_such_column"])
def test_a_measure_is_one_number_for_all_records(measure: str) -> None:
    records = Records(parse_columns({"n": "integer"}), [{"n": 1}])
    with pytest.raises(InvalidData):
        ENGINE.measure({"m": measure}, records)
    with pytest.raises(InvalidData):
        ENGINE.describe_measure(measure, records.columns)


SUMS = {
    "sum(n)": True,
    "SUM(CAST(n AS DECIMAL(18,2)) * 2)": True,
    "count(*)": True,
    "count(n)": True,
    "count_if(n > 1)": True,
    "sum(n) FILTER (WHERE n > 1)": True,
    "(sum(n) - count(*)) + sum(n * n) -- said": True,
    "count(DISTINCT n)": False,
    "sum(DISTINCT n)": False,
    "max(n)": False,
    "CAST(sum(n) AS DECIMAL(18,0))": False,
    "sum(n) * 2 + 1": False,
    "sum(n) + 1": False,
    "sum(n) // count(*)": False,
    "CASE WHEN sum(n) > 5 THEN 1 ELSE 0 END": False,
    "(SELECT max(x) FROM (SELECT 1 AS x)) + sum(n)": False,
    " + ".join(["sum(n)"] * 400): True,
}
NUMBERS = st.lists(st.integers(-9, 9), max_size=6)


@pytest.mark.parametrize(("measure", "adds_up"), SUMS.items(), ids=[text[:40] for text in SUMS])
def test_sums_are_told_from_what_does_not_add_up(measure: str, adds_up: bool) -> None:
    assert ENGINE.adds_up(measure) == adds_up


@settings(max_examples=40, deadline=None)
@given(NUMBERS, NUMBERS)
def test_what_is_called_a_sum_adds_up(first: list[int], second: list[int]) -> None:
    measures = {f"m{number}": text for number, (text, adds_up) in enumerate(SUMS.items()) if adds_up}
    parts = [
        ENGINE.measure(measures, Records(parse_columns({"n": "integer"}), [{"n": n} for n in numbers]))
        for numbers in (first, second, first + second)
    ]
    assert {name: parts[0][name] + parts[1][name] for name in measures} == parts[2]


def test_a_measure_is_described_and_what_else_it_reads_is_told() -> None:
    assert ENGINE.describe_measure("sum(n)", parse_columns({"n": "integer"})).kind is ColumnKind.INTEGER
    assert ENGINE.analyse_measure("sum(n) -- in hours").tables == frozenset()
    assert ENGINE.measure({"n": "sum(n) -- in hours", "m": "count(*)"}, numbered(3)) == {"n": 3, "m": 3}
    assert ENGINE.analyse_measure("(SELECT max(x) FROM other)").tables == {"other"}
    assert [fault.code for fault in ENGINE.analyse_measure("random()").faults] == ["sql_function"]


@pytest.mark.parametrize("trick", ["1) AS a, (2", "1)) FROM measured --", "1 /*", "1; SELECT 2", "1)"])
def test_a_measure_cannot_break_out_of_its_statement(trick: str) -> None:
    assert [fault.code for fault in ENGINE.analyse_measure(trick).faults] == ["sql_syntax"]


def numbered(count: int) -> Records:
    return Records(parse_columns({"n": "integer"}), [{"n": number} for number in range(count)])


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(30)))
def test_rows_come_in_the_stated_order(order: list[int]) -> None:
    records = Records(parse_columns({"n": "integer"}), [{"n": number} for number in order])
    down = ENGINE.run("SELECT n FROM t ORDER BY n DESC", {"t": records})
    assert [row["n"] for row in down.rows] == list(reversed(range(30)))


def test_many_rows_stay_in_order() -> None:
    found = ENGINE.run("SELECT n FROM t ORDER BY n % 7, n", {"t": numbered(20_000)})
    assert [row["n"] for row in found.rows] == sorted(range(20_000), key=lambda n: (n % 7, n))


def test_facts_are_one_row() -> None:
    assert ENGINE.row("SELECT max(n) AS top, count(*) AS n FROM t", {"t": numbered(3)}) == {"top": 2, "n": 3}
    for count in (0, 2):
        with pytest.raises(InvalidData, match=f"exactly one row; this SELECT gave {count}"):
            ENGINE.row("SELECT n FROM t", {"t": numbered(count)})


def test_no_records_are_a_table_without_rows() -> None:
    empty = Records(parse_columns({"n": "integer", "d": "date"}))
    found = ENGINE.run("SELECT d, n, n + 1 AS next FROM t", {"t": empty})
    assert found.rows == []
    assert [column.type for column in found.columns] == ["date", "integer", "integer"]


def test_joins_and_dates_work_as_in_any_sql() -> None:
    work = Records(
        parse_columns({"who": "text", "day": "date", "hours": "decimal(5,2)"}),
        [
            {"who": "a", "day": date(2024, 2, 29), "hours": Decimal("7.25")},
            {"who": "a", "day": date(2024, 2, 29), "hours": Decimal("0.75")},
            {"who": "b", "day": date(2024, 3, 1), "hours": Decimal("8.00")},
        ],
    )
    rates = Records(
        parse_columns({"who": "text", "rate": "decimal(8,2)"}), [{"who": "a", "rate": Decimal("33.33")}]
    )
    found = ENGINE.run(
        "SELECT w.who, w.day, sum(w.hours) AS hours, CAST(sum(w.hours * r.rate) AS DECIMAL(18,2)) AS amount"
        " FROM work w LEFT JOIN rates r USING (who) GROUP BY ALL ORDER BY w.who",
        {"work": work, "rates": rates},
    )
    assert found.rows == [
        {"who": "a", "day": date(2024, 2, 29), "hours": Decimal("8.00"), "amount": Decimal("266.64")},
        {"who": "b", "day": date(2024, 3, 1), "hours": Decimal("8.00"), "amount": None},
    ]


# Errors -------------------------------------------------------------------------------------------


def secret(**values: Any) -> Records:
    """One record with canary values and others."""
    row: Record = {"a": CANARY, "b": CANARY + "-b", **values}
    return Records(parse_columns({name: _type(value) for name, value in row.items()}), [row])


def _type(value: Any) -> str:
    return {str: "text", int: "integer", Decimal: "decimal(38,10)"}[type(value)]


FAILING = {
    "a cast": ("SELECT CAST(a AS INTEGER) AS n FROM t", secret()),
    "a cast to a date": ("SELECT CAST(a AS DATE) AS n FROM t", secret()),
    "a cast to a boolean": ("SELECT CAST(a AS BOOLEAN) AS n FROM t", secret()),
    "a cast to an identifier": ("SELECT CAST(CAST(a AS UUID) AS VARCHAR) AS n FROM t", secret()),
    "a time format": ("SELECT CAST(strptime(a, '%Y') AS DATE) AS n FROM t", secret()),
    "a regular expression": ("SELECT regexp_matches(b, a || '(') AS n FROM t", secret()),
    "a json path": ("SELECT json_extract_string(a, '$.x') AS n FROM t", secret()),
    "a chosen error": ("SELECT error(a) AS n FROM t", secret()),
    "several rows for one": (
        "SELECT (SELECT a FROM t) AS n FROM t AS t2",
        Records(secret().columns, secret().rows * 2),
    ),
    "an overflow": ("SELECT n * n AS n FROM t", secret(n=4_711_000_000_000)),
    "a narrow decimal": ("SELECT CAST(n AS DECIMAL(4,2)) AS n FROM t", secret(n=4_711_000)),
    "a division": ("SELECT CAST(n // 0 AS INTEGER) AS n FROM t", secret(n=4711)),
    "a list index": ("SELECT CAST(string_split(a, '-')[1] AS INTEGER) AS n FROM t", secret()),
    "a column of a sum": ("SELECT sum(a) AS n FROM t", secret()),
    "an unknown column": ("SELECT c FROM t", secret()),
    "a value wider than its column": ("SELECT n FROM t", secret(n=2**63 + 4711)),
}  # fmt: skip


@pytest.mark.parametrize(("sql", "records"), FAILING.values(), ids=list(FAILING))
def test_an_error_tells_no_record_values(sql: str, records: Records) -> None:
    with pytest.raises(InvalidData) as caught:
        ENGINE.run(sql, {"t": records})
    told = f"{caught.value} {caught.value!r} {caught.value.to_dict()}"
    assert "canary" not in told
    assert "4711" not in told
    assert caught.value.faults[0].hint


@pytest.mark.parametrize(
    ("types", "row"),
    [
        ({"n": "integer"}, {"n": 2**63}),
        ({"n": "decimal(5,2)"}, {"n": Decimal("1234.00")}),
        ({"n": "date"}, {"n": CANARY}),
        ({"n": "boolean"}, {"n": CANARY}),
        ({"n": "timestamp"}, {"n": CANARY}),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_an_error_and_not_null(
    types: dict[str, str], row: Record
) -> None:
    with pytest.raises(InvalidData) as caught:
        ENGINE.run("SELECT n FROM t", {"t": Records(parse_columns(types), [row])})
    assert [fault.code for fault in caught.value.faults] == ["sql_value"]


@pytest.mark.parametrize(
    "value",
    ["DATE 'infinity'", "DATE '-infinity'", "DATE '0044-03-15 (BC)'", "DATE '10000-01-01'",
     "TIMESTAMPTZ 'infinity'", "TIMESTAMPTZ '10000-01-01 00:00:00+00'"],
)  # fmt: skip
def test_times_that_no_record_can_hold_are_errors(value: str) -> None:
    with pytest.raises(InvalidData, match="outside the years 1 to 9999"):
        ENGINE.run(f"SELECT {value} AS d", {})


@pytest.mark.parametrize(
    "expression",
    ["CAST(1 AS DOUBLE)", "CAST(1 AS FLOAT)", "[1]", "{'a': 1}", "INTERVAL 1 DAY", "TIMESTAMP '2024-01-01'",
     "TIME '10:00'", "CAST('a' AS BLOB)", "MAP([1], [2])"],
)  # fmt: skip
def test_types_that_records_do_not_have_must_be_cast(expression: str) -> None:
    for use in (ENGINE.describe, ENGINE.run):
        with pytest.raises(InvalidData) as caught:
            use(f"SELECT {expression} AS x", {})
        assert [(fault.code, fault.field) for fault in caught.value.faults] == [("sql_type", "x")]


def test_what_needs_too_much_memory_says_so() -> None:
    with pytest.raises(InvalidData, match="memory"):
        ENGINE.run("SELECT list(range) AS x FROM range(1000000000)", {})


def test_records_without_columns_and_with_columns_of_one_name_are_errors() -> None:
    with pytest.raises(InvalidData):
        ENGINE.run("SELECT 1 AS n FROM t", {"t": Records(())})
    with pytest.raises(InvalidData):
        ENGINE.run("SELECT 1 AS n FROM t", {"t": Records(parse_columns({"a": "text", "A": "text"}))})


def left_over() -> list[Record]:
    return ENGINE.run("SELECT table_name FROM duckdb_tables() WHERE table_name <> '_result'", {}).rows


@pytest.mark.parametrize(("sql", "records"), FAILING.values(), ids=list(FAILING))
def test_nothing_is_left_after_an_error(sql: str, records: Records) -> None:
    with pytest.raises(InvalidData):
        ENGINE.run(sql, {"t": records, "other": numbered(2)})
    assert left_over() == []
    assert ENGINE.run("SELECT n FROM t", {"t": numbered(1)}).rows == [{"n": 0}]


def test_nothing_is_left_after_success() -> None:
    ENGINE.run("SELECT n FROM t", {"t": numbered(1)})
    ENGINE.measure({"n": "count(*)"}, numbered(1))
    assert left_over() == []


def test_quotes_in_names_are_only_names() -> None:
    name = 'a" FROM t; DROP TABLE t; --'
    records = Records((Column(name, ColumnKind.TIMESTAMP),), [{name: datetime(2024, 1, 1, tzinfo=UTC)}])
    assert ENGINE.run("SELECT * FROM t", {"t": records}).rows == records.rows


def test_description_runs_nothing() -> None:
    forever = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) AS n FROM r"
    assert [column.type for column in ENGINE.describe(forever, {})] == ["integer"]


def test_python_variables_are_no_tables() -> None:
    numbers = ENGINE._connection().sql("SELECT 4711 AS n")
    assert numbers.fetchall() == [(4711,)]
    with pytest.raises(InvalidData, match="numbers does not exist"):
        ENGINE.run("SELECT * FROM numbers", {})


# Threads ------------------------------------------------------------------------------------------


def side_by_side(work: Callable[[int], None], threads: int = 2) -> None:
    barrier = Barrier(threads)

    def start(number: int) -> None:
        barrier.wait(timeout=10)
        work(number)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(start, range(threads)))


def test_threads_share_an_engine_and_no_tables() -> None:
    engine = SqlEngine()

    def work(thread: int) -> None:
        for turn in range(15):
            records = numbered(10 * thread + turn)
            found = engine.row("SELECT count(*) AS n, coalesce(max(n), -1) AS top FROM t", {"t": records})
            assert found == {"n": len(records), "top": len(records) - 1}
            assert engine.analyse("SELECT * FROM t").tables == {"t"}

    side_by_side(work)


def test_an_error_in_one_thread_leaves_the_other_alone() -> None:
    engine = SqlEngine()

    def work(thread: int) -> None:
        for _ in range(10):
            if thread:
                assert engine.measure({"n": "sum(n)"}, numbered(100)) == {"n": 4950}
            else:
                with pytest.raises(InvalidData):
                    engine.run("SELECT CAST(a AS INTEGER) AS n FROM t", {"t": secret()})

    side_by_side(work)


ENDLESS = "SELECT count(*) AS n FROM range(100000000) a, range(100000000) b"


@pytest.mark.parametrize("small", [MOST_ROWS, -1], ids=["prepared", "over tables"])
def test_a_statement_that_takes_too_long_is_broken_off_and_the_engine_goes_on(small: int) -> None:
    engine = SqlEngine(limit_seconds=0.2, small=small)
    for _ in range(2):
        with pytest.raises(InvalidData) as raised:
            engine.run(ENDLESS, {})
        assert [fault.code for fault in raised.value.faults] == ["sql_time"]
        for number in range(50):
            assert engine.run(f"SELECT {number} AS n", {}).rows == [{"n": number}]


def test_only_the_statement_that_takes_too_long_is_broken_off() -> None:
    engine, late = SqlEngine(limit_seconds=0.5), Event()

    def work(thread: int) -> None:
        if thread:
            with pytest.raises(InvalidData, match="takes too long"):
                engine.run(ENDLESS, {})
            late.set()
        while not late.is_set():
            assert engine.measure({"n": "sum(n)"}, numbered(10)) == {"n": 45}

    side_by_side(work)


def test_what_is_known_of_nothing_is_nobodys_to_change() -> None:
    empty = numbered(0)
    for _ in range(2):
        found = ENGINE.measure({"total": "sum(n)", "lines": "count(*) + 1"}, empty)
        assert found == {"total": 0, "lines": 1}
        found["total"] = 99
    assert ENGINE.measure({"total": "sum(n)"}, Records(parse_columns({"n": "decimal(9,2)"}))) == {"total": 0}
    with pytest.raises(InvalidData):
        ENGINE.measure({"total": "sum(m)"}, empty)
