"""Small inputs: statements that are planned once for their text and the types of what they read.

The records come in as parameters, so that nothing is created and dropped again: a statement over a few rows
costs a tenth of what it costs over tables. Whatever cannot be done like this is left to the tables, which
then say what is wrong.
"""

import itertools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel.errors import InvalidData
from kernel.records import Column, Records
from workflows import rows
from workflows.sql_columns import as_text, described_columns, literal, quoted, structure

if TYPE_CHECKING:
    import duckdb

MOST_ROWS = 1_000
"""With more rows it matters that the planner knows how many they are, as it does of tables."""
MOST_CHARACTERS = 131_072
"""The same limit for what these rows hold, as JSON."""
KEPT = 64
"""Statements that stay prepared on a connection."""

type _Tables = tuple[tuple[str, tuple[Column, ...]], ...]


@dataclass(frozen=True)
class _Prepared:
    name: str
    columns: tuple[Column, ...]


class PreparedStatements:
    """The statements that are prepared on one connection: of `kept` the least recently used one makes room.
    They read at most `most_rows` rows."""

    def __init__(
        self, connection: "duckdb.DuckDBPyConnection", most_rows: int = MOST_ROWS, kept: int = KEPT
    ) -> None:
        self._connection = connection
        self._most_rows = most_rows
        self._kept = kept
        self._names = (f"prepared_{number}" for number in itertools.count())
        self._prepared: OrderedDict[tuple[str, _Tables], _Prepared | None] = OrderedDict()

    def __len__(self) -> int:
        """How many statements are known, those that cannot be prepared among them."""
        return len(self._prepared)

    def run(self, sql: str, tables: Mapping[str, Records]) -> Records | None:
        """What `sql` yields over `tables`. `None` when they are not small or `sql` cannot be prepared.

        Raises `duckdb.Error`, and `ValueError` for a date that Python does not have.
        """
        if sum(map(len, tables.values())) > self._most_rows:
            return None
        prepared = self._of(sql, tables)
        texts = [rows.to_json(records) for records in tables.values()]
        if prepared is None or sum(map(len, texts)) > MOST_CHARACTERS:
            return None
        given = ", ".join(f"{_parameter(index)} := {literal(text)}" for index, text in enumerate(texts))
        found = self._connection.execute(f"EXECUTE {prepared.name}{f'({given})' if given else ''}")
        return rows.from_values(prepared.columns, found.fetchall())

    def _of(self, sql: str, tables: Mapping[str, Records]) -> _Prepared | None:
        shape = sql, tuple((name, records.columns) for name, records in tables.items())
        if shape in self._prepared:
            self._prepared.move_to_end(shape)
            return self._prepared[shape]
        made = self._prepared[shape] = self._prepare(*shape)
        if len(self._prepared) > self._kept:
            _, oldest = self._prepared.popitem(last=False)
            if oldest is not None:
                self._connection.execute(f"DEALLOCATE {oldest.name}")
        return made

    def _prepare(self, sql: str, tables: _Tables) -> _Prepared | None:
        import duckdb

        try:
            if not self._stands_alone(sql):
                return None
            return self._prepared_as(next(self._names), sql, tables)
        except (duckdb.Error, InvalidData):
            return None

    def _stands_alone(self, sql: str) -> bool:
        """Whether it is one SELECT, of which nothing is left over when it is put into brackets."""
        import duckdb

        statements = self._connection.extract_statements(sql)
        select = duckdb.StatementType.SELECT
        return [one.type for one in statements] == [select] and not statements[0].named_parameters

    def _prepared_as(self, name: str, sql: str, tables: _Tables) -> _Prepared:
        parts = [_as_table(index, *table) for index, table in enumerate(tables)]
        records = f"WITH {', '.join(parts)} " if parts else ""
        within = f"FROM (\n{sql.strip().rstrip(';')}\n)"  # lines of its own: a comment swallows nothing
        nothing = {_parameter(index): "[]" for index in range(len(tables))}
        described = self._connection.execute(f"DESCRIBE {records}SELECT * {within}", nothing)
        columns = described_columns(described.fetchall())
        selected = ", ".join(map(as_text, columns))
        self._connection.execute(f"PREPARE {name} AS {records}SELECT {selected} {within}")
        return _Prepared(name, columns)


def _as_table(index: int, name: str, columns: tuple[Column, ...]) -> str:
    # The cast settles the parameter's type; without it every execution would plan anew. Materialised, the
    # text is read once however often the statement names the table. Strict: a value that does not fit its
    # column is an error, where `from_json` would make it NULL.
    read = f"from_json_strict(${_parameter(index)}::VARCHAR, {literal(structure(columns))})"
    return f"{quoted(name)} AS MATERIALIZED (SELECT unnest({read}, recursive := true))"


def _parameter(index: int) -> str:
    return f"records_{index}"
