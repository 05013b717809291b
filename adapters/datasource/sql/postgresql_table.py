"""What a PostgreSQL table demands of its rows, to tell people which column a refused row fails on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cached_property

from sqlalchemy import Connection, TableClause, text

from kernel.records import Record, Value

_CONSTRAINTS = text(
    """
    SELECT c.conname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_catalog.pg_constraint c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
    WHERE c.conrelid = to_regclass(:table)
    GROUP BY c.conname
    """
)
_COLUMN_TYPES = text(
    """
    SELECT attname AS name, format_type(atttypid, atttypmod) AS kind
    FROM pg_catalog.pg_attribute
    WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped
    """
)
_SIZED_TEXT = re.compile(r"character(?: varying)?\((\d+)\)")
_SIZED_NUMBER = re.compile(r"numeric\((\d+),(-?\d+)\)")
# The default context would refuse to quantize numbers of more than 28 digits.
_EXACT = Context(prec=200, rounding=ROUND_HALF_UP)
_INTEGER_BITS = {"smallint": 15, "integer": 31, "bigint": 63}


@dataclass
class TableRules:
    """The constraints and column types of one table, asked for when first needed."""

    connection: Connection
    table: TableClause

    def columns_of(self, constraint: str) -> list[str]:
        """The columns a constraint is about; none if it has no entry, as a plain unique index has."""
        return self._constraints.get(constraint, [])

    def too_small_for(self, row: Record) -> list[str]:
        """The columns, with their types, that cannot hold the row's texts and numbers."""
        return [
            f"{name} {kind}"
            for name, kind in self._types.items()
            if name in row and not _holds(kind, row[name])
        ]

    @cached_property
    def _constraints(self) -> Mapping[str, list[str]]:
        rows = self.connection.execute(_CONSTRAINTS, {"table": self._quoted_name})
        return {row["name"]: row["columns"] for row in rows.mappings()}

    @cached_property
    def _types(self) -> Mapping[str, str]:
        rows = self.connection.execute(_COLUMN_TYPES, {"table": self._quoted_name})
        return {row["name"]: row["kind"] for row in rows.mappings()}

    @property
    def _quoted_name(self) -> str:
        return self.connection.dialect.identifier_preparer.format_table(self.table)


def _holds(kind: str, value: Value) -> bool:
    if isinstance(value, str):
        sized_text = _SIZED_TEXT.fullmatch(kind)
        return sized_text is None or len(value) <= int(sized_text[1])
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return _number_fits(kind, Decimal(value))
    return True


def _number_fits(kind: str, value: Decimal) -> bool:
    if kind in _INTEGER_BITS:
        limit = Decimal(2) ** _INTEGER_BITS[kind]
        return -limit <= value < limit
    sized = _SIZED_NUMBER.fullmatch(kind)
    if sized is None:
        return True
    precision, scale = int(sized[1]), int(sized[2])
    rounded = value.quantize(Decimal(1).scaleb(-scale), context=_EXACT)
    return abs(rounded) < Decimal(10) ** (precision - scale)
