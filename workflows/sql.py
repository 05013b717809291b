"""SQL over records in memory: DuckDB without files, network, extensions or volatile functions.

Statements are parsed by DuckDB itself (`json_serialize_sql` accepts SELECT only) and judged by `statement`.
One connection per thread is reused, because opening one costs tens of milliseconds. Errors never quote record
values: DuckDB's messages about values are replaced by their kind.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from kernel.errors import Fault, InvalidData
from kernel.records import Column, Records
from kernel.watchdog import Watchdog
from workflows import rows
from workflows.prepared import MOST_ROWS, PreparedStatements
from workflows.sql_columns import UNFIT, as_text, described_columns, duckdb_type, quoted, structure
from workflows.statement import MAX_CHARACTERS, Statement, adds_up, read_statement, refused

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "512MB"
LIMIT_SECONDS = 300.0
"""How long one statement may take: well within the time limit of a function."""
KEPT = 256
"""Of so many statements an engine remembers what it has found out."""

_OVER_ALL = "FROM measured HAVING true"  # HAVING lets nothing through that is not an aggregate over all rows
_NAMES_HINT = "Compare the names and types with the columns of the steps that it reads."
_SPLIT_HINT = "Split it into several transform steps."
_CAST_HINT = "Check the casts; TRY_CAST gives NULL instead."


class SqlEngine:
    """Checks and runs SELECT statements over `Records`. One instance serves many threads.

    A statement that takes longer than `limit_seconds` is broken off: a run must not stop silently. Those that
    read at most `small` rows are prepared and kept.
    """

    def __init__(self, limit_seconds: float = LIMIT_SECONDS, small: int = MOST_ROWS) -> None:
        self._local = threading.local()
        self._small = small
        self._watchdog = Watchdog(limit_seconds, "sql watchdog")
        self._analysed = lru_cache(KEPT)(self._analyse)
        self._of_nothing = lru_cache(KEPT)(self._measure_nothing)

    def analyse(self, sql: str) -> Statement:
        """Parse `sql` and say what it reads and what must not be in it."""
        return self._analysed(sql)

    def _analyse(self, sql: str) -> Statement:
        if len(sql) > MAX_CHARACTERS:
            said = f"The SQL has {len(sql):,} characters; {MAX_CHARACTERS:,} is the most."
            return refused(Fault("sql_statement", said, hint=_SPLIT_HINT))
        try:
            tree = json.loads(self._one("SELECT json_serialize_sql($1)", [sql]))
        except RecursionError:
            said = "The SQL nests too many levels deep."
            return refused(Fault("sql_statement", said, hint=_SPLIT_HINT))
        return read_statement(tree, sql, self._consistent_functions())

    def describe(self, sql: str, tables: Mapping[str, tuple[Column, ...]]) -> tuple[Column, ...]:
        """The columns that `sql` yields over tables of these columns; nothing is executed.

        Raises `InvalidData` with DuckDB's reason when it does not fit them (unknown column, wrong type).
        """
        with self._loaded({name: Records(columns) for name, columns in tables.items()}) as connection:
            described = _within_duckdb(lambda: connection.execute(f"DESCRIBE {sql}").fetchall())
            return described_columns(described)

    def run(self, sql: str, tables: Mapping[str, Records]) -> Records:
        """Run `sql` over `tables`; rows come in the order the statement states."""
        connection = self._connection()
        with self._watchdog.over(connection.interrupt):
            found = _at_once(self._local.prepared, sql, tables)
            if found is not None:
                return found
            with self._loaded(tables):
                return _result(connection, sql)

    def row(self, sql: str, tables: Mapping[str, Records]) -> dict[str, Any]:
        """The one row that `sql` yields; `InvalidData` when it yields none or several."""
        found = self.run(sql, tables)
        if len(found) != 1:
            raise InvalidData(f"The facts must be exactly one row; this SELECT gave {len(found)}.")
        return dict(found.rows[0])

    def describe_measure(self, expression: str, columns: tuple[Column, ...]) -> Column:
        """The type of an aggregate over records of these columns; `InvalidData` when it is none."""
        return self.describe(f"SELECT (\n{expression}\n) AS value {_OVER_ALL}", {"measured": columns})[0]

    def analyse_measure(self, expression: str) -> Statement:
        """What an aggregate reads besides the records it measures, and what must not be in it."""
        statement = self.analyse(f"SELECT {_zero_if_null(expression)} AS value {_OVER_ALL}")
        return Statement(statement.tables - {"measured"}, statement.faults)

    def adds_up(self, expression: str) -> bool:
        """Whether a sound aggregate over parts of the records adds up to the one over all of them."""
        sql = f"SELECT (\n{expression}\n) {_OVER_ALL}"
        return adds_up(json.loads(self._one("SELECT json_serialize_sql($1)", [sql])))

    def measure(self, expressions: Mapping[str, str], records: Records) -> dict[str, Any]:
        """Aggregates over `records`, e.g. `{"amount": "sum(amount)"}`; an empty sum is zero."""
        if not expressions:
            return {}
        if not records.rows:  # as are most of the sets that the records of a write fall into
            return dict(self._of_nothing(tuple(expressions.items()), records.columns))
        return self._measured(expressions, records)

    def _measure_nothing(
        self, expressions: tuple[tuple[str, str], ...], columns: tuple[Column, ...]
    ) -> dict[str, Any]:
        return self._measured(dict(expressions), Records(columns))

    def _measured(self, expressions: Mapping[str, str], records: Records) -> dict[str, Any]:
        parts = ", ".join(f'{_zero_if_null(text)} AS "{name}"' for name, text in expressions.items())
        return self.row(f"SELECT {parts} {_OVER_ALL}", {"measured": records})

    def _consistent_functions(self) -> frozenset[str]:
        if not hasattr(self._local, "consistent"):
            found = self._connection().execute(
                "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'CONSISTENT'"
                " AND function_name NOT IN (SELECT function_name FROM duckdb_functions()"
                " WHERE stability <> 'CONSISTENT')"
            )
            self._local.consistent = frozenset(name for (name,) in found.fetchall())
        known: frozenset[str] = self._local.consistent
        return known

    def _one(self, sql: str, parameters: list[Any]) -> Any:
        row = self._connection().execute(sql, parameters).fetchone()
        return row[0] if row else None

    def _connection(self) -> "duckdb.DuckDBPyConnection":
        if not hasattr(self._local, "connection"):
            self._local.connection = _open()
            self._local.prepared = PreparedStatements(self._local.connection, self._small)
        connection: duckdb.DuckDBPyConnection = self._local.connection
        return connection

    @contextmanager
    def _loaded(self, tables: Mapping[str, Records]) -> Iterator["duckdb.DuckDBPyConnection"]:
        connection = self._connection()
        try:
            for name, records in tables.items():
                _within_duckdb(partial(_load, connection, name, records))
            yield connection
        finally:
            for name in (*tables, "_result"):
                connection.execute(f"DROP TABLE IF EXISTS {quoted(name)}")


def _open() -> "duckdb.DuckDBPyConnection":
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": MEMORY_LIMIT,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    connection.execute("SET enable_external_access = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
    return connection


def _zero_if_null(expression: str) -> str:
    return f"coalesce((\n{expression}\n), 0)"  # on a line of its own: a comment at its end swallows nothing


def _at_once(prepared: PreparedStatements, sql: str, tables: Mapping[str, Records]) -> Records | None:
    """What the statement yields, if it can be prepared. Errors in values are left to the tables to tell."""
    import duckdb

    try:
        return prepared.run(sql, tables)
    except (duckdb.InterruptException, duckdb.OutOfMemoryException) as exc:
        raise InvalidData(UNFIT, faults=[_engine_fault(exc)]) from exc
    except (duckdb.Error, ValueError):
        return None


def _load(connection: "duckdb.DuckDBPyConnection", name: str, records: Records) -> None:
    columns = ", ".join(f"{quoted(column.name)} {duckdb_type(column)}" for column in records.columns)
    connection.execute(f"CREATE TEMP TABLE {quoted(name)} ({columns})")
    if records.rows:
        # Strict: a value that does not fit its column is an error, where `from_json` would make it NULL.
        connection.execute(
            f"INSERT INTO {quoted(name)} SELECT unnest(from_json_strict($1, $2), recursive := true)",
            [rows.to_json(records), structure(records.columns)],
        )


def _result(connection: "duckdb.DuckDBPyConnection", sql: str) -> Records:
    created = f'CREATE TEMP TABLE "_result" AS {sql.strip().rstrip(";")}'
    _within_duckdb(lambda: connection.execute(created))
    columns = described_columns(connection.execute('DESCRIBE "_result"').fetchall())
    selected = ", ".join(map(as_text, columns))
    found = connection.execute(f'SELECT {selected} FROM "_result"').fetchall()  # noqa: S608 - our own names
    try:
        return rows.from_values(columns, found)
    except ValueError as exc:
        said = "A date or time lies outside the years 1 to 9999."
        raise InvalidData(UNFIT, faults=[Fault("sql_value", said, hint=_CAST_HINT)]) from exc


def _within_duckdb[T](call: Callable[[], T]) -> T:
    """The call's result; DuckDB's errors become `InvalidData` without record values."""
    import duckdb

    try:
        return call()
    except duckdb.Error as exc:
        raise InvalidData(UNFIT, faults=[_engine_fault(exc)]) from exc


def _engine_fault(exc: Exception) -> Fault:
    # The first line only: later lines quote the statement. Conversion errors quote record values, so they
    # are replaced by their kind.
    kind = type(exc).__name__
    if kind in ("BinderException", "CatalogException", "ParserException"):
        return Fault("sql_binding", str(exc).splitlines()[0], hint=_NAMES_HINT)
    if kind == "InterruptException":
        said = "The statement takes too long and was broken off."
        return Fault("sql_time", said, hint="Filter or aggregate in an earlier step.")
    if kind == "OutOfMemoryException":
        said = f"The statement needs more than {MEMORY_LIMIT} of memory."
        return Fault("sql_memory", said, hint="Filter or aggregate in an earlier step.")
    return Fault("sql_value", f"A value does not fit: {kind}.", hint=_CAST_HINT)
