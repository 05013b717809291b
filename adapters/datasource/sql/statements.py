"""SQLAlchemy statements for a connector's operations. Names are quoted by SQLAlchemy, values are bound."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Numeric,
    Select,
    TableClause,
    Text,
    TextClause,
    bindparam,
    column,
    desc,
    select,
    table,
    text,
)
from sqlalchemy.types import TypeEngine

from adapters.datasource.sql.settings import PushSpec, ReadSpec
from kernel.records import Column, ColumnKind, parse_columns

_TYPES: Mapping[ColumnKind, TypeEngine[Any]] = {
    ColumnKind.TEXT: Text(),
    ColumnKind.INTEGER: BigInteger(),
    ColumnKind.DECIMAL: Numeric(),
    ColumnKind.BOOLEAN: Boolean(),
    ColumnKind.DATE: Date(),
    ColumnKind.TIMESTAMP: DateTime(timezone=True),
    ColumnKind.TIMESTAMP_TEXT: Text(),
}


def sql_type(of: Column) -> TypeEngine[Any]:
    """The SQL type that carries the column's values exactly."""
    return _TYPES[of.kind]


def query(spec: ReadSpec) -> TextClause | Select[Any]:
    """The statement of a read operation, in its stated order; parameters are bound when it runs."""
    statement = text(spec.statement).bindparams(
        *(bindparam(of.name, type_=sql_type(of)) for of in parse_columns(spec.parameters))
    )
    if not spec.order_by:
        return statement
    records = _records(spec, statement)
    return records.order_by(*(_direction(records, name) for name in spec.order_by))


def probe(spec: ReadSpec) -> Select[Any]:
    """A statement that needs the same tables, columns and permissions and returns nothing."""
    statement = text(spec.statement).bindparams(
        *(bindparam(of.name, value=None, type_=sql_type(of)) for of in parse_columns(spec.parameters))
    )
    return _records(spec, statement).limit(0)


def target(spec: PushSpec) -> TableClause:
    """The table that a push operation writes to, with its key, id and record columns."""
    schema, _, name = spec.push.rpartition(".")
    return table(name, *(column(name) for name in _target_columns(spec)), schema=schema or None)


def _target_columns(spec: PushSpec) -> Iterator[str]:
    yield from dict.fromkeys((spec.key_column, spec.external_id_column, *spec.columns))


def _records(spec: ReadSpec, statement: TextClause) -> Select[Any]:
    inner = statement.columns(*(column(name) for name in spec.columns)).subquery("records")
    return select(*inner.c)


def _direction(records: Select[Any], name: str) -> Any:
    chosen = records.selected_columns[name.removeprefix("-")]
    return desc(chosen) if name.startswith("-") else chosen
