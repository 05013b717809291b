"""The system that is written to: one table in a database of its own, and what must be in it afterwards."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import psycopg

SCHEMA = """
CREATE TABLE sink (
    key text PRIMARY KEY,
    unit text NOT NULL,
    payload text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
PUSH = "INSERT INTO sink (key, unit, payload) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_POLL_SECONDS = 0.002
_WAIT_SECONDS = 60.0


class WrongResult(Exception):
    """The sink does not hold what the work should have left there."""


class Sink:
    """The sink database. Every push is one statement and one commit."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def push(self, unit: str, payload: str) -> None:
        """Write one row, once."""
        self._connection.execute(PUSH, [unit, unit, payload])

    def push_all(self, rows: Mapping[str, str]) -> None:
        """Write many rows in one commit: payloads by unit."""
        units, payloads = list(rows), list(rows.values())
        query = (
            "INSERT INTO sink (key, unit, payload) SELECT unit, unit, payload "
            "FROM unnest(%s::text[], %s::text[]) AS given (unit, payload) ON CONFLICT DO NOTHING"
        )
        self._connection.execute(query, [units, payloads])

    def written_at(self, unit: str) -> float:
        """When the row of this unit was written, in seconds since 1970; waits for it."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            row = self._connection.execute(
                "SELECT extract(epoch FROM at)::float8 FROM sink WHERE unit = %s", [unit]
            ).fetchone()
            if row is not None:
                return float(row[0])
            time.sleep(_POLL_SECONDS)
        raise WrongResult(f"Nothing was written for {unit} within {_WAIT_SECONDS:.0f} s.")

    def expect(self, rows: Mapping[str, str]) -> None:
        """Raise `WrongResult` unless the sink has exactly these rows of these units: payloads by unit."""
        units = list(rows)
        found = self._connection.execute("SELECT unit, payload FROM sink WHERE unit = ANY (%s)", [units])
        pairs = found.fetchall()
        wrong = [unit for unit, payload in pairs if rows[unit] != payload]
        missing = sorted(set(units) - dict(pairs).keys())
        if wrong or missing or len(pairs) != len(rows):
            raise WrongResult(
                f"The sink has {len(pairs):,} rows for {len(rows):,} units; {len(wrong):,} of them hold "
                f"something else than they should. For example {(wrong or missing)[:1]}."
            )


def create(url: str) -> None:
    """Make the sink's table."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
