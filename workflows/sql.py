"""SQL over records in memory: DuckDB without files, network, extensions or volatile functions.

Statements are parsed by DuckDB itself (`json_serialize_sql` accepts SELECT only), then walked: every table
must be an earlier step or a name the statement defines, every function must be CONSISTENT in DuckDB's own
catalogue (so `now`, `random` and `uuid` are refused), and table functions are limited to those that only
make rows. One connection per thread is reused, because opening one costs tens of milliseconds.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kernel.errors import Fault, InvalidData
from kernel.records import Column, ColumnKind, Records
from workflows import rows

if TYPE_CHECKING:
    import duckdb

ROW_FUNCTIONS = frozenset({"unnest", "range", "generate_series"})
MEMORY_LIMIT = "512MB"
# Names that read the clock or the session although they look like columns.
_CLOCK_NAMES = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "current_user",
     "session_user", "user", "current_role", "current_catalog", "current_schema", "current_database"}
)  # fmt: skip

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


@dataclass(frozen=True)
class Statement:
    """A checked SELECT: the tables it reads, without those it defines itself, and its faults."""

    tables: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()


@dataclass
class _Uses:
    tables: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    table_functions: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    qualified: set[str] = field(default_factory=set)


class SqlEngine:
    """Checks and runs SELECT statements over `Records`. One instance serves many threads."""

    def __init__(self) -> None:
        self._local = threading.local()

    def analyse(self, sql: str) -> Statement:
        """Parse `sql` and say what it reads and what must not be in it."""
        tree = json.loads(self._one("SELECT json_serialize_sql($1)", [sql]))
        if tree["error"]:
            return Statement(faults=(_parse_fault(tree, sql),))
        if len(tree["statements"]) != 1:
            return Statement(
                faults=(Fault("sql_statements", "Write exactly one SELECT.", hint="Remove the `;`."),)
            )
        uses = _Uses()
        _collect(tree["statements"][0], uses)
        return Statement(frozenset(uses.tables - uses.defined), tuple(self._use_faults(uses)))

    def describe(self, sql: str, tables: Mapping[str, tuple[Column, ...]]) -> tuple[Column, ...]:
        """The columns that `sql` yields over tables of these columns.

        Raises `InvalidData` with DuckDB's reason when it does not fit them (unknown column, wrong type).
        """
        empty = {name: Records(columns) for name, columns in tables.items()}
        return self.run(sql, empty).columns

    def run(self, sql: str, tables: Mapping[str, Records]) -> Records:
        """Run `sql` over `tables`; rows come in the order the statement states."""
        with self._loaded(tables) as connection:
            return _result(connection, sql)

    def row(self, sql: str, tables: Mapping[str, Records]) -> dict[str, Any]:
        """The one row that `sql` yields; `InvalidData` when it yields none or several."""
        found = self.run(sql, tables)
        if len(found) != 1:
            raise InvalidData(f"The facts must be exactly one row; this SELECT gave {len(found)}.")
        return dict(found.rows[0])

    def measure(self, expressions: Mapping[str, str], records: Records) -> dict[str, Any]:
        """Aggregates over `records`, e.g. `{"amount": "sum(amount)"}`; an empty sum is zero."""
        if not expressions:
            return {}
        parts = ", ".join(f'coalesce(({text}), 0) AS "{name}"' for name, text in expressions.items())
        return self.row(f"SELECT {parts} FROM measured", {"measured": records})  # noqa: S608 - checked text

    def _use_faults(self, uses: _Uses) -> Iterator[Fault]:
        volatile = uses.functions - uses.table_functions - self._consistent_functions() - {"unnest"}
        for name in sorted(volatile | (uses.names & _CLOCK_NAMES)):
            yield Fault(
                "sql_function",
                f"The function {name!r} is unknown or does not give the same answer every time.",
                hint="Pass such values as inputs of the run.",
            )
        for name in sorted(uses.table_functions - ROW_FUNCTIONS):
            yield Fault(
                "sql_access", f"{name!r} reads from outside.", hint="Fetch records in a step of their own."
            )
        for name in sorted(uses.qualified):
            yield Fault("sql_access", f"The table {name!r} is outside.", hint="Name an earlier step's key.")

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
                _load(connection, name, records)
            yield connection
        finally:
            for name in tables:
                connection.execute(f'DROP TABLE IF EXISTS "{name}"')
            connection.execute('DROP TABLE IF EXISTS "_result"')


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


def _load(connection: "duckdb.DuckDBPyConnection", name: str, records: Records) -> None:
    shape = json.dumps([{column.name: duckdb_type(column) for column in records.columns}])
    connection.execute(
        f'CREATE TEMP TABLE "{name}" AS SELECT unnest(from_json($1, $2), recursive := true)',
        [rows.to_json(records), shape],
    )


def duckdb_type(column: Column) -> str:
    """The DuckDB type of a column."""
    if column.kind is ColumnKind.DECIMAL:
        return f"DECIMAL({column.precision},{column.scale})"
    return _DUCKDB_TYPES[column.kind]


def _result(connection: "duckdb.DuckDBPyConnection", sql: str) -> Records:
    import duckdb

    try:
        connection.execute(f'CREATE TEMP TABLE "_result" AS {sql.strip().rstrip(";")}')
    except duckdb.Error as exc:
        raise InvalidData("The SQL does not fit the records.", faults=[_binder_fault(exc)]) from exc
    described = connection.execute('DESCRIBE "_result"').fetchall()
    columns = tuple(_column(name, kind) for name, kind, *_ in described)
    stamps = [column.name for column in columns if column.kind is ColumnKind.TIMESTAMP]
    # Instants come out as text: DuckDB's own conversion would need a time zone package.
    replaced = ", ".join(f'strftime("{name}", \'%Y-%m-%dT%H:%M:%S.%f+00:00\') AS "{name}"' for name in stamps)
    selected = f"* REPLACE ({replaced})" if stamps else "*"
    found = connection.execute(f'SELECT {selected} FROM "_result"').fetchall()  # noqa: S608 - our own names
    return rows.from_values(columns, found)


def _column(name: str, kind: str) -> Column:
    if kind.startswith("DECIMAL"):
        return Column.parse(name, kind.lower())
    if kind == '"NULL"':
        return Column(name, ColumnKind.TEXT)
    if kind not in _COLUMN_TYPES:
        raise InvalidData(
            f"The column {name!r} would be a {kind}.",
            faults=[Fault("sql_type", f"The column {name!r} is a {kind}.", field=name,
                          hint="Cast it: DECIMAL(18,2) for money, BIGINT for counts, VARCHAR for text.")],
        )  # fmt: skip
    return Column.parse(name, _COLUMN_TYPES[kind])


def _parse_fault(tree: dict[str, Any], sql: str) -> Fault:
    if tree["error_type"] == "not implemented":
        return Fault("sql_statement", "Only SELECT is allowed here.", hint="Writes go through a push step.")
    position = int(tree.get("position") or 0)
    line = sql[:position].count("\n") + 1
    return Fault("sql_syntax", f"The SQL does not parse: {tree['error_message']} (line {line} of the SQL).")


def _binder_fault(exc: Exception) -> Fault:
    # The first line only: later lines quote the statement. Conversion errors quote record values, so they
    # are replaced by their kind.
    kind = type(exc).__name__
    if kind in ("BinderException", "CatalogException", "ParserException"):
        return Fault("sql_binding", str(exc).splitlines()[0])
    return Fault(
        "sql_value", f"A value does not fit: {kind}.", hint="Check the casts; TRY_CAST gives NULL instead."
    )


def _collect(node: Any, uses: _Uses) -> None:
    if isinstance(node, list):
        for child in node:
            _collect(child, uses)
    elif isinstance(node, dict):
        _note(node, uses)
        for child in node.values():
            _collect(child, uses)


def _note(node: dict[str, Any], uses: _Uses) -> None:
    match node.get("type"):
        case "BASE_TABLE":
            outside = [node[part] for part in ("catalog_name", "schema_name") if node.get(part)]
            (uses.qualified if outside else uses.tables).add(".".join([*outside, node["table_name"]]))
        case "TABLE_FUNCTION":
            uses.table_functions.add(node["function"]["function_name"])
        case "FUNCTION" if not node.get("is_operator"):
            uses.functions.add(node["function_name"])
        case "COLUMN_REF" if len(node["column_names"]) == 1:
            uses.names.add(node["column_names"][0].lower())
    if isinstance(cte := node.get("cte_map"), dict):
        uses.defined.update(entry["key"] for entry in cte.get("map", []))
