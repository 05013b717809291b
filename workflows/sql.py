"""SQL over records in memory: DuckDB without files, network, extensions or volatile functions.

Statements are parsed by DuckDB itself (`json_serialize_sql` accepts SELECT only) and judged by `statement`.
One connection per thread is reused, because opening one costs tens of milliseconds. Errors never quote record
values: DuckDB's messages about values are replaced by their kind.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from kernel.errors import Fault, InvalidData
from kernel.records import Column, ColumnKind, Records
from workflows import rows
from workflows.statement import MAX_CHARACTERS, Statement, adds_up, read_statement, refused

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "512MB"

_DUCKDB_TYPES = {
    ColumnKind.TEXT: "VARCHAR",
    ColumnKind.INTEGER: "BIGINT",
    ColumnKind.BOOLEAN: "BOOLEAN",
    ColumnKind.DATE: "DATE",
    ColumnKind.TIMESTAMP: "TIMESTAMPTZ",
    ColumnKind.TIMESTAMP_TEXT: "VARCHAR",
}
_COLUMN_TYPES = {
    "VARCHAR": "text", "BIGINT": "integer", "INTEGER": "integer", "SMALLINT": "integer", "TINYINT": "integer",
    "HUGEINT": "integer", "UBIGINT": "integer", "UINTEGER": "integer", "USMALLINT": "integer",
    "UTINYINT": "integer", "UHUGEINT": "integer", "BOOLEAN": "boolean", "DATE": "date",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}  # fmt: skip

LIMIT_SECONDS = 300.0
"""How long one statement may take: well within the time limit of a function."""
_OVER_ALL = "FROM measured HAVING true"  # HAVING lets nothing through that is not an aggregate over all rows
_UNFIT = "The SQL does not fit the records."
_NAMES_HINT = "Compare the names and types with the columns of the steps that it reads."
_TYPE_HINT = "Cast it: DECIMAL(18,2) for money, BIGINT for counts, TIMESTAMPTZ for instants, else VARCHAR."
_SPLIT_HINT = "Split it into several transform steps."
_CAST_HINT = "Check the casts; TRY_CAST gives NULL instead."


class SqlEngine:
    """Checks and runs SELECT statements over `Records`. One instance serves many threads.

    A statement that takes longer than `limit_seconds` is broken off: a run must not stop silently.
    """

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._local = threading.local()
        self._limit_seconds = limit_seconds

    def analyse(self, sql: str) -> Statement:
        """Parse `sql` and say what it reads and what must not be in it."""
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
            return _columns(_within_duckdb(lambda: connection.execute(f"DESCRIBE {sql}").fetchall()))

    def run(self, sql: str, tables: Mapping[str, Records]) -> Records:
        """Run `sql` over `tables`; rows come in the order the statement states."""
        with self._loaded(tables) as connection:
            watch = threading.Timer(self._limit_seconds, connection.interrupt)
            watch.start()
            try:
                return _result(connection, sql)
            finally:
                watch.cancel()

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
                connection.execute(f"DROP TABLE IF EXISTS {_quoted(name)}")


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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _load(connection: "duckdb.DuckDBPyConnection", name: str, records: Records) -> None:
    types = {column.name: _duckdb_type(column) for column in records.columns}
    columns = ", ".join(f"{_quoted(column)} {kind}" for column, kind in types.items())
    connection.execute(f"CREATE TEMP TABLE {_quoted(name)} ({columns})")
    if records.rows:
        # Strict: a value that does not fit its column is an error, where `from_json` would make it NULL.
        connection.execute(
            f"INSERT INTO {_quoted(name)} SELECT unnest(from_json_strict($1, $2), recursive := true)",
            [rows.to_json(records), json.dumps([types])],
        )


def _duckdb_type(column: Column) -> str:
    if column.kind is ColumnKind.DECIMAL:
        return f"DECIMAL({column.precision},{column.scale})"
    return _DUCKDB_TYPES[column.kind]


def _result(connection: "duckdb.DuckDBPyConnection", sql: str) -> Records:
    created = f'CREATE TEMP TABLE "_result" AS {sql.strip().rstrip(";")}'
    _within_duckdb(lambda: connection.execute(created))
    columns = _columns(connection.execute('DESCRIBE "_result"').fetchall())
    selected = ", ".join(_as_text(column) for column in columns)
    found = connection.execute(f'SELECT {selected} FROM "_result"').fetchall()  # noqa: S608 - our own names
    try:
        return rows.from_values(columns, found)
    except ValueError as exc:
        said = "A date or time lies outside the years 1 to 9999."
        raise InvalidData(_UNFIT, faults=[Fault("sql_value", said, hint=_CAST_HINT)]) from exc


def _as_text(column: Column) -> str:
    """Dates and instants come out as text: DuckDB's own conversion makes the last day of 9999 of `infinity`,
    and for instants it would need a time zone package."""
    name = _quoted(column.name)
    if column.kind is ColumnKind.TIMESTAMP:
        return f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%f+00:00')"
    return f"CAST({name} AS VARCHAR)" if column.kind is ColumnKind.DATE else name


def _columns(described: list[tuple[Any, ...]]) -> tuple[Column, ...]:
    columns = tuple(_column(name, kind) for name, kind, *_ in described)
    counts = Counter(column.name.lower() for column in columns)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        hint = "Name each column, with AS where needed."
        faults = [Fault("sql_columns", f"Several columns are called {name!r}.", hint=hint) for name in twice]
        raise InvalidData(_UNFIT, faults=faults)
    return columns


def _column(name: str, kind: str) -> Column:
    if kind.startswith("DECIMAL"):
        return Column.parse(name, kind.lower())
    if kind == '"NULL"':
        return Column(name, ColumnKind.TEXT)
    if kind not in _COLUMN_TYPES:
        said = f"The column {name!r} is of type {kind}, which records do not have."
        raise InvalidData(_UNFIT, faults=[Fault("sql_type", said, field=name, hint=_TYPE_HINT)])
    return Column.parse(name, _COLUMN_TYPES[kind])


def _within_duckdb[T](call: Callable[[], T]) -> T:
    """The call's result; DuckDB's errors become `InvalidData` without record values."""
    import duckdb

    try:
        return call()
    except duckdb.Error as exc:
        raise InvalidData(_UNFIT, faults=[_engine_fault(exc)]) from exc


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
