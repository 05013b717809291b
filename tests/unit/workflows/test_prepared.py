"""Statements over few rows are prepared, and give what they give over tables, to the last digit and error."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import InvalidData
from kernel.records import Record, Records, parse_columns
from tests.unit.workflows.catalogue import ENGINE
from tests.unit.workflows.test_sql import FAILING, some_records
from workflows.prepared import MOST_CHARACTERS, MOST_ROWS, PreparedStatements
from workflows.sql import SqlEngine

OVER_TABLES = SqlEngine(small=-1)
LINES = Records(
    parse_columns(
        {"id": "text", "who": "text", "hours": "decimal(9,3)", "n": "integer", "day": "date",
         "since": "timestamp", "ok": "boolean"}
    ),
    [
        {"id": f"L{number}", "who": who, "hours": hours, "n": n, "day": date(2024, 2, 27 + number),
         "since": datetime(2024, 2, 27, number, tzinfo=UTC), "ok": ok}
        for number, (who, hours, n, ok) in enumerate(
            [("it's", Decimal("7.250"), 2**62, True), ('"B"', Decimal("-0.125"), -1, None), (None,) * 4]
        )
    ],
)  # fmt: skip
RATES = Records(
    parse_columns({"who": "text", "rate": "decimal(8,2)"}), [{"who": "it's", "rate": Decimal("33.33")}]
)
TABLES = {"lines": LINES, "rates": RATES}

AT_ONCE = [
    "SELECT * FROM lines ORDER BY id DESC",
    "FROM lines ORDER BY id",
    "TABLE rates",
    "VALUES (1, 'a', DATE '2024-01-01')",
    "SELECT NULL AS x, 'it''s' AS y, 1.50 AS z, TRUE AS b",
    "SELECT sum(n) AS n, count(*) AS c, max(hours) AS h FROM lines",
    "SELECT sum(n), count(*) FROM lines",
    "SELECT who, sum(hours) AS hours FROM lines GROUP BY who ORDER BY who NULLS FIRST",
    "SELECT l.*, r.rate, l.hours * r.rate AS amount FROM lines l LEFT JOIN rates r USING (who) ORDER BY id",
    "SELECT a.id, b.id AS other FROM lines a, lines b ORDER BY 1, 2",
    "(SELECT id FROM lines) UNION ALL (SELECT who FROM rates) ORDER BY 1 NULLS LAST",
    "WITH lines AS (SELECT id, n + 1 AS m FROM lines WHERE n < 0) SELECT * FROM lines",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r, rates WHERE n < 5) FROM r ORDER BY n",
    "SELECT id, row_number() OVER (ORDER BY since) AS place FROM lines QUALIFY place < 3 ORDER BY place",
    "SELECT DISTINCT ON (ok) ok, id FROM lines ORDER BY ok NULLS LAST, id",
    "SELECT LINES.ID FROM Lines WHERE day >= DATE '2024-02-28' ORDER BY since LIMIT 1",
    "SELECT (SELECT max(rate) FROM rates WHERE rates.who = lines.who) AS top FROM lines ORDER BY id",
    "SELECT date_trunc('hour', since) AS since, day + 1 AS day FROM lines ORDER BY 1",
    "SELECT id FROM lines ORDER BY id -- the end",
    "SELECT id FROM lines ORDER BY id;",
    "SELECT 1 AS a, 2 AS a, 3 AS A",
    "SELECT l.*, r.* FROM lines l JOIN rates r USING (who)",
    "SELECT * EXCLUDE (since) FROM lines ORDER BY id",
    'SELECT id AS "a"" b" FROM lines ORDER BY id',
    "SELECT error('x') AS x FROM lines WHERE n = 77",
]
OVER_TABLES_ONLY = ["SELECT id FROM lines ORDER BY id; -- the end", "SELECT rowid, id FROM lines ORDER BY 1"]
WRONG = [
    "",
    ";",
    "SELECT",
    "SELECT 1; SELECT 2; SELEC",
    "DELETE FROM lines",
    "PREPARE p AS SELECT 1",
    "SELECT id FROM lines) AS a, (SELECT 1 AS b",
    "SELECT id FROM lines) UNION ALL (SELECT 'b'",
    "SELECT 1 /*",
    "SELECT $1 AS x",
    "SELECT $records_0 AS x FROM lines",
    "SELECT ? AS x FROM lines LIMIT $n",
    "SELECT nothing FROM lines",
    "SELECT * FROM nowhere",
    "SELECT * FROM records_0",
    "SELECT n || FROM lines",
    "SELECT [n] AS x FROM lines",
    "SELECT lines FROM lines",
    "SELECT hours::DOUBLE AS x FROM lines",
]
WRONG_VALUES = [
    "SELECT CAST(who AS INTEGER) AS x FROM lines",
    "SELECT n * n AS x FROM lines",
    "SELECT error(who) AS x FROM lines WHERE who IS NOT NULL",
    "SELECT (SELECT id FROM lines) AS x",
    "SELECT DATE 'infinity' AS x FROM lines",
]


def outcome(run: Callable[[str, Mapping[str, Records]], Records], sql: str, tables: Any) -> object:
    """What comes of a statement: columns and rows, or all that the error says."""
    try:
        found = run(sql, tables)
    except InvalidData as exc:
        return exc.to_dict()
    return found.columns, [[(name, repr(value)) for name, value in row.items()] for row in found.rows]


def prepared() -> PreparedStatements:
    """Nothing prepared yet, on a connection of its own."""
    return PreparedStatements(SqlEngine()._connection())


@pytest.mark.parametrize("sql", [*AT_ONCE, *OVER_TABLES_ONLY, *WRONG, *WRONG_VALUES])
@pytest.mark.parametrize("count", [3, 0])
def test_a_statement_gives_what_it_gives_over_tables(sql: str, count: int) -> None:
    tables = {name: Records(records.columns, records.rows[:count]) for name, records in TABLES.items()}
    for _ in range(2):  # prepared, and used again
        assert outcome(ENGINE.run, sql, tables) == outcome(OVER_TABLES.run, sql, tables)


@pytest.mark.parametrize(("sql", "records"), FAILING.values(), ids=list(FAILING))
def test_errors_in_values_read_as_over_tables(sql: str, records: Records) -> None:
    tables = {"t": records}
    assert outcome(ENGINE.run, sql, tables) == outcome(OVER_TABLES.run, sql, tables)


@settings(max_examples=60, deadline=None)
@given(some_records())
def test_any_records_go_through_as_over_tables(records: Records) -> None:
    for sql in ("SELECT * FROM t", "SELECT count(*) AS n FROM t a JOIN t b ON true"):
        assert outcome(ENGINE.run, sql, {"t": records}) == outcome(OVER_TABLES.run, sql, {"t": records})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.decimals(-1000, 1000, places=2), max_size=8))
def test_measures_are_those_over_tables(amounts: list[Decimal]) -> None:
    records = Records(parse_columns({"amount": "decimal(18,2)"}), [{"amount": amount} for amount in amounts])
    declared = {"total": "sum(amount)", "n": "count(*)", "top": "max(amount)", "mean": "avg(amount)::INTEGER"}
    found, expected = ENGINE.measure(declared, records), OVER_TABLES.measure(declared, records)
    assert [(name, repr(value)) for name, value in found.items()] == [
        (name, repr(value)) for name, value in expected.items()
    ]


def test_a_statement_is_prepared_once() -> None:
    statements, sql, names = prepared(), "SELECT id FROM lines ORDER BY id", set()
    for _ in range(3):
        assert statements.run(sql, {"lines": LINES}) is not None
        names |= {known.name for known in statements._prepared.values() if known}
    assert len(names) == 1


@pytest.mark.parametrize("sql", AT_ONCE)
def test_what_can_be_prepared_is(sql: str) -> None:
    assert prepared().run(sql, TABLES) is not None


@pytest.mark.parametrize("sql", [*OVER_TABLES_ONLY, *WRONG])
def test_what_cannot_be_prepared_is_left_to_the_tables(sql: str) -> None:
    statements = prepared()
    assert [statements.run(sql, TABLES) for _ in range(2)] == [None, None]
    assert len(statements) == 1


@pytest.mark.parametrize("sql", WRONG_VALUES)
def test_what_is_wrong_with_values_does_not_spoil_the_statement(sql: str) -> None:
    statements = prepared()
    with pytest.raises((duckdb.Error, ValueError)):
        statements.run(sql, TABLES)
    none = {name: Records(records.columns) for name, records in TABLES.items()}
    assert statements.run(sql, none) is not None


def test_one_text_over_other_types_is_another_statement() -> None:
    sql, found = "SELECT max(v) AS top FROM t", []
    values: list[tuple[str, Any]] = [
        ("integer", 10),
        ("text", "9"),
        ("decimal(4,1)", Decimal("1.5")),
        ("integer", 3),
    ]
    for kind, value in values:
        records = Records(parse_columns({"v": kind}), [{"v": value}])
        result = ENGINE.run(sql, {"t": records})
        found.append((result.columns[0].type, result.rows[0]["top"]))
    assert found == list(values)
    more: Record = {"v": 1, "w": 2}
    wide = Records(parse_columns({"v": "integer", "w": "integer"}), [more])
    assert [row["top"] for row in ENGINE.run(sql, {"t": wide}).rows] == [1]
    assert ENGINE.run("SELECT * FROM t", {"t": wide}).rows == [more]


def test_the_least_recently_used_statement_makes_room() -> None:
    connection = SqlEngine()._connection()
    statements = PreparedStatements(connection, kept=3)
    for number in (1, 2, 3, 1, 4):
        assert statements.run(f"SELECT {number} AS n", {}) is not None
    assert len(statements) == 3
    known = connection.execute("SELECT statement FROM duckdb_prepared_statements() ORDER BY 1").fetchall()
    assert [text[0][: len("SELECT n FROM (SELECT 1")][-1] for text in known] == ["1", "3", "4"]
    assert statements.run("SELECT 2 AS n", {}) == Records(parse_columns({"n": "integer"}), [{"n": 2}])


def test_many_rows_and_long_texts_go_over_tables() -> None:
    statements = prepared()
    columns = parse_columns({"a": "text"})
    few = Records(columns, [{"a": "x"}] * MOST_ROWS)
    assert statements.run("SELECT count(*) AS n FROM t", {"t": few}) is not None
    assert (
        statements.run("SELECT count(*) AS n FROM t, u", {"t": few, "u": Records(columns, few.rows[:1])})
        is None
    )
    long = Records(columns, [{"a": "x" * MOST_CHARACTERS}])
    assert statements.run("SELECT count(*) AS n FROM t", {"t": long}) is None
    assert ENGINE.run("SELECT length(a) AS n FROM t", {"t": long}).rows == [{"n": MOST_CHARACTERS}]
    assert ENGINE.run("SELECT count(*) AS n FROM t, u", {"t": few, "u": few}).rows == [{"n": MOST_ROWS**2}]
