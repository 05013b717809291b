"""Statements that run for every step of every run, handed straight to the driver.

To build, compile and wrap a Core expression takes several times as long as the driver takes to send a
constant text. These texts stand next to the functions that use them, with psycopg's `%(name)s` for values;
all other queries stay Core expressions.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from kernel.errors import InternalError

_TRIP = "sluice.trip"

type Cursor = psycopg.Cursor[dict[str, Any]]


def execute(connection: Connection, statement: str, values: Mapping[str, Any] | None = None) -> Cursor:
    """Run a statement in the connection's transaction. Rows are dicts by column name. What must know whether
    something changed returns a row of it: a `rowcount` is not known within `together`."""
    return _driver(connection).cursor(row_factory=dict_row).execute(statement.encode(), values)


def only(cursor: Cursor) -> dict[str, Any]:
    """The row of a statement that has one, or the first."""
    row = cursor.fetchone()
    if row is None:
        raise InternalError("A statement that always has a row had none.")
    return row


@contextmanager
def together(connection: Connection) -> Iterator[None]:
    """Statements of `execute` do not wait for each other: they travel together, up to the next one whose rows
    are read. What is wrong with one of them is raised there, or at the end of the block.

    A Core statement ends that: it needs its answer at once.
    """
    if _TRIP in connection.info:
        yield
        return
    info = connection.info  # of the driver's connection: the transaction may lose that one meanwhile
    with ExitStack() as trip:
        trip.enter_context(_driver(connection).pipeline())
        info[_TRIP] = trip
        try:
            yield
        finally:
            info.pop(_TRIP, None)


def end_trip(connection: Connection) -> None:
    """Wait for what is under way; what follows goes statement by statement."""
    trip = connection.info.pop(_TRIP, None)
    if trip is not None:
        trip.close()


def commit(connection: Connection) -> None:
    """Commit, in the same trip with what is under way."""
    if _TRIP in connection.info:
        _driver(connection).commit()


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    return cast(psycopg.Connection[Any], connection.connection.driver_connection)


def as_json(value: Any) -> Jsonb | None:
    """A value for a column of JSON; `None` is NULL."""
    return None if value is None else Jsonb(value)


def assignments(names: Mapping[str, Any]) -> str:
    """`name = %(name)s` for each of these columns, for a SET clause. The names come from our code."""
    return ", ".join(f"{name} = %({name})s" for name in names)


def adapted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Column values as the driver takes them: mappings and lists as JSON."""
    return {name: Jsonb(value) if isinstance(value, dict | list) else value for name, value in values.items()}
