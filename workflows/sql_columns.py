"""Columns as DuckDB writes them and has them described."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from kernel.errors import Fault, InvalidData
from kernel.records import Column, ColumnKind

UNFIT = "The SQL does not fit the records."

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
_TYPE_HINT = "Cast it: DECIMAL(18,2) for money, BIGINT for counts, TIMESTAMPTZ for instants, else VARCHAR."


def quoted(name: str) -> str:
    """The name as an identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a string constant, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"


def duckdb_type(column: Column) -> str:
    """The type that holds the column's values exactly."""
    if column.kind is ColumnKind.DECIMAL:
        return f"DECIMAL({column.precision},{column.scale})"
    return _DUCKDB_TYPES[column.kind]


def structure(columns: Iterable[Column]) -> str:
    """What `from_json_strict` is told of rows of these columns."""
    return json.dumps([{column.name: duckdb_type(column) for column in columns}])


def as_text(column: Column) -> str:
    """The column in a SELECT list. Dates and instants come out as text: DuckDB's own conversion makes the
    last day of 9999 of `infinity`, and for instants it would need a time zone package."""
    name = quoted(column.name)
    if column.kind is ColumnKind.TIMESTAMP:
        return f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%f+00:00')"
    return f"CAST({name} AS VARCHAR)" if column.kind is ColumnKind.DATE else name


def described_columns(described: Sequence[tuple[Any, ...]]) -> tuple[Column, ...]:
    """The columns that DESCRIBE tells of. Raises `InvalidData` for types that records do not have and for
    names that are not different."""
    columns = tuple(_column(name, kind) for name, kind, *_ in described)
    counts = Counter(column.name.lower() for column in columns)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        hint = "Name each column, with AS where needed."
        faults = [Fault("sql_columns", f"Several columns are called {name!r}.", hint=hint) for name in twice]
        raise InvalidData(UNFIT, faults=faults)
    return columns


def _column(name: str, kind: str) -> Column:
    if kind.startswith("DECIMAL"):
        return Column.parse(name, kind.lower())
    if kind == '"NULL"':
        return Column(name, ColumnKind.TEXT)
    if kind not in _COLUMN_TYPES:
        said = f"The column {name!r} is of type {kind}, which records do not have."
        raise InvalidData(UNFIT, faults=[Fault("sql_type", said, field=name, hint=_TYPE_HINT)])
    return Column.parse(name, _COLUMN_TYPES[kind])
