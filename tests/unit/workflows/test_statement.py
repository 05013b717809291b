"""Which SELECT may run: what is refused, what is not, and which steps it reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import InvalidData
from kernel.records import Records, parse_columns
from tests.unit.workflows.catalogue import ENGINE
from workflows.statement import CHANGING_FUNCTIONS, MAX_CHARACTERS, PURE_MACROS

TABLES = {"t": parse_columns({"a": "integer", "b": "text"}), "u": parse_columns({"a": "integer"})}

REFUSED: dict[str, list[str]] = {
    "sql_statement": [
        "INSERT INTO t VALUES (1, 'x')",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
        "TRUNCATE t",
        "CREATE TABLE x AS SELECT 1",
        "CREATE TEMP VIEW x AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "DROP TABLE t",
        "ALTER TABLE t ADD COLUMN c INTEGER",
        "COPY t TO 'out.csv'",
        "COPY t FROM 'in.csv'",
        "EXPORT DATABASE 'out'",
        "ATTACH 'other.db'",
        "DETACH memory",
        "USE memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "FORCE CHECKPOINT",
        "PRAGMA database_list",
        "SET memory_limit = '100GB'",
        "RESET threads",
        "SET VARIABLE x = 1",
        "CALL pragma_version()",
        "SELECT 1; DROP TABLE t",
        "EXPLAIN SELECT 1",
        "VACUUM",
        "BEGIN TRANSACTION",
        "PREPARE p AS SELECT 1",
        "PIVOT t ON b USING sum(a)",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "WITH x AS (INSERT INTO t VALUES (1, 'x') RETURNING *) SELECT * FROM x",
        "WITH x AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM x",
        "SELECT * FROM (WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x)",
        "SELECT 1" + " " * MAX_CHARACTERS,
    ],
    "sql_statements": ["SELECT 1; SELECT 2", "SELECT 1; SELECT 2;", "", ";", "-- nothing", "/* */"],
    "sql_syntax": [
        "SELECT",
        "SELECT FROM t",
        "SELEC a FROM t",
        "SELECT (a FROM t",
        "SELECT 'a",
        "SELECT 1 FROM",
    ],
    "sql_function": [
        "SELECT now()",
        "SELECT NOW()",
        "SELECT main.now()",
        "SELECT today()",
        "SELECT current_date",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT current_time",
        "SELECT localtime",
        "SELECT localtimestamp",
        "SELECT current_localtimestamp()",
        "SELECT get_current_timestamp()",
        "SELECT transaction_timestamp()",
        "SELECT age(TIMESTAMP '2020-01-01')",
        "SELECT ago(INTERVAL 1 DAY)",
        "SELECT random()",
        "SELECT random() OVER ()",
        "SELECT setseed(0.5)",
        "SELECT uuid()",
        "SELECT uuidv7()",
        "SELECT gen_random_uuid()",
        "SELECT nextval('s')",
        "SELECT a FROM t ORDER BY random()",
        "SELECT list_transform([1], lambda x: random())",
        "SELECT (SELECT now())",
        "WITH x AS (SELECT random() AS r) SELECT * FROM x",
        "SELECT a FROM t WHERE random() < 0.5",
        "SELECT a FROM t LIMIT CAST(random() * 10 AS INTEGER)",
        "SELECT * FROM t USING SAMPLE 10 PERCENT",
        "SELECT * FROM t TABLESAMPLE 5",
        "SELECT current_user",
        "SELECT current_setting('memory_limit')",
        "SELECT getenv('PATH')",
        "SELECT getvariable('x')",
        "SELECT current_query()",
        "SELECT version()",
        "SELECT pg_sleep(10)",
        "SELECT sleep_ms(10000)",
        "SELECT write_log('x')",
        "SELECT error(b) FROM t",
        "SELECT read_text('/etc/hostname')",
        "SELECT no_such_function(a) FROM t",
    ],
    "sql_access": [
        "SELECT * FROM read_csv('a.csv')",
        "SELECT * FROM read_csv_auto('a.csv')",
        "SELECT * FROM read_parquet('https://example.com/a.parquet')",
        "SELECT * FROM read_json('a.json')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_blob('a')",
        "SELECT * FROM glob('*')",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM query_table('t')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM pragma_database_size()",
        "SELECT * FROM pragma_table_info('t')",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM main.t",
        "SELECT * FROM memory.main.t",
        "SELECT * FROM temp.t",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM (SHOW TABLES)",
        "SELECT * FROM (DESCRIBE t)",
        "FROM (SUMMARIZE t)",
    ],
}


CASES = [(code, sql) for code, texts in REFUSED.items() for sql in texts]


@pytest.mark.parametrize(("code", "sql"), CASES, ids=lambda text: text[:60])
def test_what_is_refused(code: str, sql: str) -> None:
    faults = ENGINE.analyse(sql).faults
    assert [fault.code for fault in faults] == [code]
    assert faults[0].hint


@pytest.mark.parametrize("sql", ["SELECT * FROM 'a.csv'", "FROM 'https://example.com/a.csv'", "FROM pg_class",
                                 "FROM sqlite_master", "FROM duckdb_tables"])  # fmt: skip
def test_files_and_system_views_are_tables_that_no_step_is(sql: str) -> None:
    statement = ENGINE.analyse(sql)
    assert len(statement.tables) == 1
    assert not statement.tables & set(TABLES)


@pytest.mark.parametrize("path", ["/etc/hostname", "https://example.com/a.csv"])
@pytest.mark.parametrize("sql", ["SELECT * FROM '{}'", "SELECT content FROM read_text('{}')",
                                 "SELECT column0 FROM read_csv('{}', header = false)"])  # fmt: skip
def test_the_engine_itself_reaches_nothing_outside(sql: str, path: str) -> None:
    with pytest.raises(InvalidData):
        ENGINE.run(sql.format(path), {})


@pytest.mark.parametrize(
    "sql", ["SET enable_external_access = true", "LOAD httpfs", "ATTACH ':memory:' AS x"]
)
def test_the_engine_itself_runs_nothing_but_select(sql: str) -> None:
    with pytest.raises(InvalidData):
        ENGINE.run(sql, {})
    with pytest.raises(InvalidData):
        ENGINE.describe(sql, {})


ALLOWED = [
    "SELECT a, b FROM t ORDER BY a",
    "FROM t",
    "VALUES (1, 'x')",
    "(SELECT 1 AS n)",
    "SELECT 1 AS n;",
    "SELECT 1 AS n -- said",
    "SELECT a FROM t UNION ALL SELECT a FROM u ORDER BY a",
    "SELECT t.a, u.a AS other FROM t LEFT JOIN u USING (a)",
    "SELECT count(*) AS n, sum(a) AS s, min(b) AS x, any_value(b) AS y FROM t GROUP BY ALL",
    "SELECT sum(a) FILTER (WHERE a > 1) AS s FROM t",
    "SELECT b, row_number() OVER (PARTITION BY b ORDER BY a) AS n FROM t",
    "SELECT b FROM t QUALIFY rank() OVER (ORDER BY a) = 1",
    "SELECT lag(a) OVER (ORDER BY a) AS before, nth_value(a, 2) OVER (ORDER BY a) AS second FROM t",
    "WITH x AS (SELECT a FROM t), y AS (SELECT a + 1 AS a FROM x) SELECT a FROM y",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r",
    "SELECT nullif(a, 0) AS x, if(a > 1, 'y', 'n') AS y, coalesce(a, 0) AS z, ifnull(a, 1) AS w FROM t",
    "SELECT CASE WHEN a > 1 THEN 'x' ELSE b END AS c FROM t WHERE a IN (1, 2) AND b LIKE 'x%'",
    "SELECT split_part(b, ',', 1) AS x, upper(b) AS y, trim(b) AS z, left(b, 2) || right(b, 2) AS w FROM t",
    "SELECT regexp_replace(b, '[^0-9]', '', 'g') AS x, lpad(b, 5, '0') AS y, strlen(b) AS z FROM t",
    "SELECT strptime(b, '%Y-%m-%d')::DATE AS d, strftime(DATE '2024-01-01', '%Y') AS y FROM t",
    "SELECT date_trunc('week', DATE '2024-01-01')::DATE AS w, date_diff('day', d, d) AS n FROM (SELECT DATE"
    " '2024-01-05' AS d)",
    "SELECT date_add(DATE '2024-01-01', INTERVAL 1 DAY)::DATE AS d, last_day(DATE '2024-02-01') AS e",
    "SELECT extract(year FROM DATE '2024-01-01') AS y, (TIMESTAMPTZ '2024-01-01 00:00:00+00') AS t",
    "SELECT CAST(a AS DECIMAL(18,2)) AS d, TRY_CAST(b AS INTEGER) AS i, a::VARCHAR AS v FROM t",
    "SELECT round(CAST(1.255 AS DECIMAL(5,3)), 2) AS r, abs(a) AS s, greatest(a, 1) AS g, a % 2 AS m FROM t",
    "SELECT string_agg(b, ',' ORDER BY a) AS x, bool_and(a > 1) AS y, count(DISTINCT b) AS z FROM t",
    "SELECT unnest([1, 2]) AS n",
    "SELECT * FROM range(3)",
    "SELECT i FROM generate_series(1, 3) AS s(i)",
    "SELECT list_sum(list_transform([1, 2], lambda x: x * 2)) AS n",
    "SELECT t.* EXCLUDE (b) REPLACE (a + 1 AS a) FROM t",
    "SELECT (SELECT max(a) FROM u) AS m FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a)",
    "SELECT md5(b) AS x, sha256(b) AS y, hash(b)::VARCHAR AS z FROM t",
    "SELECT * FROM (PIVOT t ON b IN ('x', 'y') USING sum(a))",
    'SELECT t."user" FROM (SELECT 1 AS "user") AS t',
]  # fmt: skip


@pytest.mark.parametrize("sql", ALLOWED)
def test_what_is_allowed_can_run(sql: str) -> None:
    assert ENGINE.analyse(sql).faults == ()
    columns = ENGINE.describe(sql, TABLES)
    assert ENGINE.run(sql, {name: Records(TABLES[name]) for name in TABLES}).columns == columns


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT 1", set()),
        ("SELECT * FROM T", {"t"}),
        ("SELECT * FROM t, u x, v AS y", {"t", "u", "v"}),
        ("SELECT (SELECT max(a) FROM u) FROM t WHERE a IN (SELECT a FROM v)", {"t", "u", "v"}),
        ("WITH x AS (SELECT * FROM t) SELECT * FROM X", {"t"}),
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", {"t"}),
        ("WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) SELECT * FROM t", set()),
        ("WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x", {"y"}),
        ("SELECT * FROM t, (WITH t AS (SELECT 1) SELECT * FROM t)", {"t"}),
        ("WITH x AS (SELECT 1) SELECT * FROM (WITH y AS (SELECT * FROM x) SELECT * FROM y)", set()),
        ("SELECT * FROM range(3) AS t", set()),
    ],
)
def test_the_tables_are_those_the_statement_does_not_define(sql: str, tables: set[str]) -> None:
    assert ENGINE.analyse(sql).tables == tables


def refusal(sql: str) -> InvalidData | None:
    try:
        ENGINE.describe(sql, TABLES)
    except InvalidData as exc:
        return exc
    return None


@pytest.mark.parametrize("depth", [200, 1000, 4000])
@pytest.mark.parametrize(
    ("head", "part", "end"),
    [("SELECT ", "(", ")"), ("FROM t WHERE ", "NOT ", ""), ("", "FROM (", ")"), ("SELECT ", "1 + ", "")],
)
def test_depth_hurts_nobody(depth: int, head: str, part: str, end: str) -> None:
    sql = f"{head}{part * depth}{'t' if 'FROM (' in part else '1'}{end * depth}"
    statement = ENGINE.analyse(sql)
    assert statement.faults or depth < 1500
    if not statement.faults:
        refused = refusal(sql)
        assert refused is None or refused.faults


WORDS = [
    *("SELECT", "FROM", "WHERE", "t", "u", "a", "b", "*", ",", "(", ")", "1", "'x'", '"q"', "+", "="),
    *("AS", "WITH", "RECURSIVE", "UNION", "ALL", "ORDER", "BY", "GROUP", "LIMIT", "sum(", "count(*)", "x"),
    *(
        "now()",
        "CAST(",
        "INTEGER",
        "JOIN",
        "ON",
        "USING",
        "VALUES",
        ";",
        "--",
        "/*",
        "*/",
        "[",
        "]",
        "{",
        "}",
    ),
    *("}", ":", "::", "->", "$1", "?", "NULL", "IN", "CASE", "END", "DELETE", "INSERT", "RETURNING", "PIVOT"),
    *("SAMPLE", "10%", "OVER", "DISTINCT", "\\", "\t", "\n", "é", "😀", "\0"),
]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))
def test_any_text_is_judged_and_what_passes_can_be_described(sql: str) -> None:
    if not ENGINE.analyse(sql).faults:
        refused = refusal(sql)
        assert refused is None or refused.faults


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.just("t"), lambda inner: inner.map("(SELECT * FROM {})".format), max_leaves=8))
def test_subqueries_hide_no_table(inner: str) -> None:
    assert ENGINE.analyse(f"SELECT * FROM {inner}").tables == {"t"}


# The engine's own catalogue: what an upgrade of DuckDB may change ---------------------------------


def test_macros_that_are_allowed_are_made_of_consistent_functions() -> None:
    found = ENGINE.run(
        "SELECT function_name AS name, macro_definition AS body FROM duckdb_functions()"
        " WHERE function_type = 'macro'",
        {},
    )
    bodies = [(str(row["name"]), str(row["body"])) for row in found.rows if row["name"] in PURE_MACROS]
    assert {name for name, _ in bodies} == PURE_MACROS
    assert [name for name, body in bodies if ENGINE.analyse(f"SELECT {body}").faults] == []


# What may be called without arguments: constants and empty lists.
WITHOUT_ARGUMENTS = {
    *("pi", "add", "row", "map", "json_array", "json_object", "list_value", "list_pack", "list_cat"),
    *("list_concat", "array_cat", "array_concat", "struct_pack", "unpivot_list"),
}


def test_functions_without_arguments_are_known_not_to_read_a_clock() -> None:
    """DuckDB calls some of these consistent although they are not; a new one must be looked at."""
    found = ENGINE.run(
        "SELECT DISTINCT function_name AS name FROM duckdb_functions()"
        " WHERE function_type = 'scalar' AND stability = 'CONSISTENT' AND len(parameters) = 0",
        {},
    )
    names = {str(row["name"]) for row in found.rows}
    assert names | {"age"} >= CHANGING_FUNCTIONS
    allowed = {
        name for name in names if name.isidentifier() and not ENGINE.analyse(f"SELECT {name}()").faults
    }
    callable_ = {name for name in allowed if refusal(f"SELECT CAST({name}() AS VARCHAR) AS x") is None}
    assert callable_ == WITHOUT_ARGUMENTS
