"""Statements that go straight to the driver: together, with Core ones between, and when one is wrong."""

from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import text

from kernel.errors import Unavailable
from store import audit
from store.driver import end_trip, execute, together
from tests.support.world import World

NOW = datetime(2026, 11, 21, tzinfo=UTC)
_ADD = (
    "INSERT INTO sluice.business_object_type (name, schema, created_by, created_at, updated_at)"
    " VALUES (%(name)s, '{}', 'me', now(), now())"
)


def names(world: World) -> list[str]:
    return [name for (name,) in world.sql("SELECT name FROM sluice.business_object_type ORDER BY name")]


def test_statements_that_travel_together_are_committed_together(world: World) -> None:
    with world.deployment.database.transaction("me", swift=True) as connection:
        execute(connection, _ADD, {"name": "a"})
        execute(connection, _ADD, {"name": "b"})
    assert {"a", "b"} <= set(names(world))


def test_a_core_statement_between_them_finds_what_was_done_before_it(world: World) -> None:
    with world.deployment.database.transaction("me", swift=True) as connection:
        execute(connection, _ADD, {"name": "c"})
        found = connection.scalar(text("SELECT count(*) FROM sluice.business_object_type WHERE name = 'c'"))
        execute(connection, _ADD, {"name": "d"})
    assert found == 1
    assert {"c", "d"} <= set(names(world))


def test_what_is_wrong_with_one_of_them_undoes_all(world: World) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        add(world, "e", "e")
    assert "e" not in names(world)
    add(world, "e")  # the connection is still good
    assert "e" in names(world)


def test_what_the_caller_raises_undoes_what_is_under_way(world: World) -> None:
    with pytest.raises(KeyError):
        add(world, "f", stop=KeyError())
    assert "f" not in names(world)


def test_events_recorded_meanwhile_are_appended(world: World) -> None:
    with world.deployment.database.transaction("me", swift=True) as connection:
        audit.record(
            connection, stream="driver", actor="me", action="tried", subject="s", details={}, now=NOW
        )  # fmt: skip
    assert world.sql("SELECT sequence FROM sluice.audit_event WHERE stream = 'driver'") == [(1,)]


def test_trips_within_trips_are_one(world: World) -> None:
    with world.deployment.database.transaction("me", swift=True) as connection:
        with together(connection):
            execute(connection, _ADD, {"name": "g"})
        end_trip(connection)
        with together(connection):
            execute(connection, _ADD, {"name": "h"})
    assert {"g", "h"} <= set(names(world))


def test_a_server_that_gives_up_is_unavailable_and_the_next_transaction_works(world: World) -> None:
    with pytest.raises(Unavailable):
        end_own_session(world)
    add(world, "i")
    assert "i" in names(world)


def add(world: World, *wanted: str, stop: Exception | None = None) -> None:
    """In one swift transaction, which may be stopped before its end."""
    with world.deployment.database.transaction("me", swift=True) as connection:
        for name in wanted:
            execute(connection, _ADD, {"name": name})
        if stop is not None:
            raise stop


def end_own_session(world: World) -> None:
    """As an administrator or a restart of the server would."""
    with world.deployment.database.transaction("me", swift=True) as connection:
        execute(connection, _ADD, {"name": "lost"})
        execute(connection, "SELECT pg_terminate_backend(pg_backend_pid())").fetchall()
