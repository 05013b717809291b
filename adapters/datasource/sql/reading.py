"""FETCH and LOOKUP: rows of a query as typed records."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Executable

from adapters.datasource.sql.database import Database
from adapters.datasource.sql.settings import FetchSpec, LookupSpec, ReadSpec
from adapters.datasource.sql.statements import query
from kernel.errors import ExternalNotFound, Fault, InvalidData
from kernel.records import Column, Record, Records, Value, parse_columns
from kernel.timestamps import Unfit
from kernel.values import conform

PAGE_SIZE = 5_000


def fetch(
    database: Database, name: str, spec: FetchSpec, parameters: Mapping[str, Value]
) -> Iterator[Records]:
    """Pages of the query's records through a server-side cursor; one empty page if there are none."""
    columns = parse_columns(spec.columns)
    with database.reading() as connection:
        streaming = connection.execution_options(yield_per=PAGE_SIZE)
        with streaming.execute(_query(database, name, spec), dict(parameters)) as result:
            places = _places(database, name, spec, list(result.keys()))
            rows = result.fetchmany(PAGE_SIZE)
            yield Records(columns, _typed(name, columns, places, rows))
            while len(rows) == PAGE_SIZE and (rows := result.fetchmany(PAGE_SIZE)):
                yield Records(columns, _typed(name, columns, places, rows))


def lookup(database: Database, name: str, spec: LookupSpec, parameters: Mapping[str, Value]) -> Record | None:
    """The one record, or `None`. Raises `InvalidData` when the query finds several."""
    columns = parse_columns(spec.columns)
    with database.reading() as connection:
        result = connection.execute(_query(database, name, spec), dict(parameters))
        places = _places(database, name, spec, list(result.keys()))
        rows = result.fetchmany(2)
    if len(rows) > 1:
        raise InvalidData(
            f"The lookup {name!r} finds more than one record in {database.place}. "
            "Narrow its statement, or make it a fetch."
        )
    records = _typed(name, columns, places, rows)
    return records[0] if records else None


def _query(database: Database, name: str, spec: ReadSpec) -> Executable:
    return database.once(name, lambda: query(spec))


def _places(database: Database, name: str, spec: ReadSpec, delivered: Sequence[str]) -> list[int]:
    """Where each declared column is in the rows. Raises `ExternalNotFound` naming every missing one."""
    missing = [column for column in spec.columns if column not in delivered]
    if missing:
        raise ExternalNotFound(
            f"Operation {name!r} on {database.place} declares columns that its statement does not deliver.",
            faults=[
                Fault(
                    code="missing_column",
                    message=f"There is no column {column!r}.",
                    field=column,
                    hint=f"The statement delivers {', '.join(delivered)}.",
                )
                for column in missing
            ],
        )
    return [delivered.index(column) for column in spec.columns]


def _typed(
    name: str, columns: Sequence[Column], places: Sequence[int], rows: Sequence[Sequence[Any]]
) -> list[Record]:
    faults: list[Fault] = []
    values = [
        _column(column, [row[place] for row in rows], faults)
        for column, place in zip(columns, places, strict=True)
    ]
    if faults:
        raise InvalidData(
            f"Operation {name!r} delivers values that do not fit its columns. "
            "Cast them in the statement, or declare other types.",
            faults=faults,
        )
    names = [column.name for column in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _column(column: Column, cells: Sequence[Any], faults: list[Fault]) -> list[Value]:
    """The typed values of one column; of several that do not fit, only the first is a fault."""
    values: list[Value] = []
    try:
        for cell in cells:
            values.append(conform(str(cell) if isinstance(cell, UUID) else cell, column))
    except Unfit as exc:
        faults.append(
            Fault(
                code="unfit_value",
                message=f"{column.name} {exc.message}.",
                field=column.name,
                value=str(cell),
                hint=exc.hint,
            )
        )
    return values
