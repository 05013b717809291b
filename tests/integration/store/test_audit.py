"""The audit streams: appended by many at once, altered by nobody without `verify` finding it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, pool, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from kernel.clock import utc_now
from kernel.ids import new_id
from kernel.secrets import Secret
from localhost.services.stack import Stack
from store import audit, audit_chain
from store.audit_chain import Tampering, verify_stream
from store.database import Database
from tests.support.services import Database as Made
from tests.support.services import fresh_database

LENGTH = 8
STREAM = "workflows"


def write(database: Database, stream: str, *actions: str) -> None:
    """One transaction with an event for each action."""
    with database.transaction("ann") as connection:
        for action in actions:
            audit.record(
                connection, stream=stream, actor="ann", action=action, subject="x",
                details={"n": 1, "f": 1e22, "id": UUID(int=7)}, now=utc_now(),
            )  # fmt: skip


@pytest.fixture
def database(migrated: Made) -> Iterator[Database]:
    """The application's connections."""
    made = Database(Secret(migrated.app_url), pool_size=8)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(services: Stack, template: str) -> Iterator[Made]:
    """A database with two streams of `LENGTH` events, which tests leave as it is."""
    with fresh_database(services, template=template) as made:
        database = Database(Secret(made.app_url))
        for number in range(LENGTH):
            write(database, STREAM, f"workflow.{number}")
            write(database, "other", "x")
        database.close()
        yield made


@pytest.fixture(scope="module")
def owner(shared: Made) -> Iterator[Engine]:
    """The connection of its owner."""
    engine = create_engine(shared.owner_url, poolclass=pool.StaticPool)
    yield engine
    engine.dispose()


# Appending ------------------------------------------------------------------------------------------


def test_many_writers_make_one_chain_without_an_error(database: Database) -> None:
    ready = threading.Barrier(8)

    def appending(number: int) -> None:
        ready.wait()
        for _ in range(15):
            write(database, "new", f"by.{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(appending, range(8)))
    with database.reading(frozen=True) as connection:
        report = verify_stream(connection, "new")
    assert (report.broken, report.events, report.head) == ((), 120, 120)


def test_streams_in_any_order_never_wait_in_a_circle(database: Database) -> None:
    orders = [("a", "b", "c"), ("c", "b", "a"), ("b", "a", "c"), ("c", "a", "b")]
    ready = threading.Barrier(len(orders))

    def appending(order: tuple[str, ...]) -> None:
        ready.wait()
        for _ in range(25):
            with database.transaction("ann") as connection:
                for stream in order:
                    audit.record(
                        connection, stream=stream, actor="ann", action="x", subject="x", details={},
                        now=utc_now(),
                    )  # fmt: skip

    with ThreadPoolExecutor(len(orders)) as threads:
        list(threads.map(appending, orders))
    with database.reading(frozen=True) as connection:
        reports = [verify_stream(connection, stream) for stream in audit_chain.streams(connection)]
    assert [(report.events, report.broken) for report in reports] == [(100, ())] * 3


def test_an_event_is_not_held_before_the_end_of_its_transaction(database: Database) -> None:
    with database.transaction("ann") as first:
        audit.record(
            first, stream="s", actor="ann", action="first", subject="x", details={}, now=utc_now()
        )  # fmt: skip
        write(database, "s", "second")  # would wait for the first for ever
    with database.reading() as connection:
        actions = connection.scalars(text("SELECT action FROM sluice.audit_event ORDER BY sequence")).all()
    assert actions == ["second", "first"]


def test_a_transaction_that_fails_leaves_no_event(database: Database) -> None:
    def failing(connection: Connection) -> None:
        audit.record(connection, stream="s", actor="ann", action="x", subject="x", details={}, now=utc_now())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.transaction("ann") as connection:
        failing(connection)
    with database.reading(frozen=True) as connection:
        assert audit_chain.streams(connection) == []


def test_outside_of_a_transaction_nothing_is_recorded_in_silence(database: Database) -> None:
    with database.reading() as connection, pytest.raises(KeyError):
        audit.record(connection, stream="s", actor="ann", action="x", subject="x", details={}, now=utc_now())


def test_runs_spread_over_sixteen_streams() -> None:
    streams = {audit.run_stream(new_id()) for _ in range(500)}
    assert streams == {f"runs-{number:02x}" for number in range(16)}


# Finding --------------------------------------------------------------------------------------------

RESEQUENCE = f"UPDATE sluice.audit_event SET sequence = {{}} WHERE stream = '{STREAM}' AND {{}}"
DELETE = f"DELETE FROM sluice.audit_event WHERE stream = '{STREAM}'"
COPY = (
    "INSERT INTO sluice.audit_event"
    " (stream, sequence, at, actor, action, subject, details, previous_hash, hash)"
    " SELECT stream, {place}, at, actor, {action}, subject, details, {previous}, {hash}"
    f" FROM sluice.audit_event WHERE stream = '{STREAM}' AND sequence = {{source}}"
)


def shift(connection: Connection, first: int, by: int) -> None:
    """Renumber the events from `first` on."""
    for statement in (RESEQUENCE.format("-1000 - sequence", f"sequence >= {first}"),
                      RESEQUENCE.format(f"-1000 - sequence + {by}", "sequence < -1000")):  # fmt: skip
        connection.execute(text(statement))


def rehash(connection: Connection, place: int) -> None:
    """Give an event the hash that fits its content."""
    query = text("SELECT * FROM sluice.audit_event WHERE stream = :s AND sequence = :n")
    row = connection.execute(query, {"s": STREAM, "n": place}).mappings().one()
    update = text("UPDATE sluice.audit_event SET hash = :h WHERE id = :id")
    connection.execute(update, {"h": audit.event_hash(dict(row)), "id": row["id"]})


def change(connection: Connection, place: int, column: str = "actor") -> None:
    """Alter an event in place."""
    connection.execute(
        text(f"UPDATE sluice.audit_event SET {column} = 'x' WHERE stream = '{STREAM}' AND sequence = {place}")
    )


def change_and_rehash(connection: Connection, place: int) -> None:
    """Alter an event so that its own hash fits."""
    change(connection, place)
    rehash(connection, place)


def remove(connection: Connection, first: int, last: int) -> None:
    """Delete events."""
    connection.execute(text(f"{DELETE} AND sequence BETWEEN {first} AND {last}"))


def remove_and_close_up(connection: Connection, place: int) -> None:
    """Delete an event and renumber those behind it."""
    remove(connection, place, place)
    shift(connection, place + 1, -1)


def insert(connection: Connection, place: int, *, fitting: bool) -> None:
    """Put a copy of the event before it, with another action, at a place that is free."""
    values = {"place": place, "source": place - 1, "action": "'forged'", "hash": "md5('x')"}
    connection.execute(text(COPY.format(**values, previous="hash")))
    if fitting:
        rehash(connection, place)


def insert_between(connection: Connection, place: int, *, fitting: bool) -> None:
    """Put an event between others, renumbering those behind it."""
    shift(connection, place, 1)
    insert(connection, place, fitting=fitting)


def exchange(connection: Connection, one: int, other: int) -> None:
    """Let two events change places."""
    for before, after in ((one, -9), (other, one), (-9, other)):
        connection.execute(text(RESEQUENCE.format(after, f"sequence = {before}")))


def behead(connection: Connection) -> None:
    """Delete the head."""
    connection.execute(text(f"DELETE FROM sluice.audit_head WHERE stream = '{STREAM}'"))


type Tamper = Callable[[Connection], None]
CASES: dict[str, tuple[Tamper, list[tuple[int, Tampering]]]] = {
    "changed": (lambda c: change(c, 3), [(3, Tampering.CHANGED)]),
    "changed link": (lambda c: change(c, 3, "previous_hash"), [(3, Tampering.CHANGED)]),
    "changed and rehashed": (lambda c: change_and_rehash(c, 3), [(3, Tampering.CHANGED)]),
    "last changed and rehashed": (lambda c: change_and_rehash(c, LENGTH), [(LENGTH, Tampering.CHANGED)]),
    "removed": (lambda c: remove(c, 4, 5), [(4, Tampering.REMOVED)]),
    "removed at the start": (lambda c: remove(c, 1, 2), [(1, Tampering.REMOVED)]),
    "removed and closed up": (
        lambda c: remove_and_close_up(c, 6),
        [(6, Tampering.REORDERED), (6, Tampering.REMOVED), (7, Tampering.REORDERED)],
    ),
    "cut off": (lambda c: remove(c, 7, LENGTH), [(7, Tampering.CUT_OFF)]),
    "whole stream": (lambda c: remove(c, 1, LENGTH), [(1, Tampering.CUT_OFF)]),
    "beheaded": (behead, [(LENGTH, Tampering.CUT_OFF)]),
    "inserted": (
        lambda c: insert_between(c, 7, fitting=False),
        [(7, Tampering.INSERTED), (8, Tampering.REORDERED), (9, Tampering.REORDERED)],
    ),
    "inserted, fitting": (
        lambda c: insert_between(c, 7, fitting=True),
        [(7, Tampering.INSERTED), (8, Tampering.REORDERED), (9, Tampering.REORDERED)],
    ),
    "appended": (lambda c: insert(c, LENGTH + 1, fitting=False), [(LENGTH + 1, Tampering.INSERTED)]),
    "appended, fitting": (lambda c: insert(c, LENGTH + 1, fitting=True), [(LENGTH + 1, Tampering.INSERTED)]),
    "exchanged": (
        lambda c: exchange(c, 2, 7),
        [(2, Tampering.REORDERED), (7, Tampering.REORDERED)],
    ),
}  # fmt: skip


def tampered(owner: Engine, *steps: Tamper) -> tuple[bool, audit_chain.StreamReport]:
    """Whether the steps changed anything, and what is found; then everything is as it was."""
    with owner.connect() as connection, connection.begin() as transaction:
        connection.execute(text("ALTER TABLE sluice.audit_event DISABLE TRIGGER link"))
        before = content(connection)
        for step in steps:
            step(connection)
        changed = content(connection) != before
        report = verify_stream(connection, STREAM)
        assert verify_stream(connection, "other").broken == ()
        transaction.rollback()
    return changed, report


def content(connection: Connection) -> list[Any]:
    """What the stream holds."""
    columns = "sequence, at, actor, action, subject, details, previous_hash, hash"
    events = f"SELECT {columns} FROM sluice.audit_event WHERE stream = '{STREAM}' ORDER BY sequence"
    heads = f"SELECT * FROM sluice.audit_head WHERE stream = '{STREAM}'"
    return [*connection.execute(text(events)), *connection.execute(text(heads))]


@pytest.mark.parametrize("name", CASES)
def test_what_the_owner_does_to_a_stream_is_found_and_named(owner: Engine, name: str) -> None:
    tamper, expected = CASES[name]
    changed, report = tampered(owner, tamper)
    assert changed
    assert [(broken.sequence, broken.fault) for broken in report.broken] == expected


def test_an_intact_stream_is_found_intact(owner: Engine) -> None:
    changed, report = tampered(owner)
    assert not changed
    assert (report.broken, report.events, report.head, report.complete) == ((), LENGTH, LENGTH, True)


places = st.integers(1, LENGTH)
tamperings = st.one_of(
    st.builds(lambda n: lambda c: change(c, n), places),
    st.builds(lambda n: lambda c: change(c, n, "previous_hash"), places),
    st.builds(lambda n: lambda c: change(c, n, "hash"), places),
    st.builds(lambda a, b: lambda c: remove(c, a, b), places, places),
    st.builds(lambda a, b: lambda c: exchange(c, a, b), places, places),
    st.builds(lambda n: lambda c: remove_and_close_up(c, n), places),
    st.builds(lambda n, by: lambda c: shift(c, n, by), places, st.integers(1, 3)),
    st.just(behead),
)
endings = st.one_of(
    st.just(lambda _connection: None),
    st.builds(lambda n: lambda c: change_and_rehash(c, n), places),
    st.builds(lambda n, f: lambda c: insert_between(c, n, fitting=f), st.integers(2, LENGTH), st.booleans()),
    st.builds(lambda f: lambda c: insert(c, LENGTH + 1, fitting=f), st.booleans()),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=endings, more=st.lists(tamperings, max_size=3))
def test_whatever_was_done_is_found(owner: Engine, first: Tamper, more: list[Tamper]) -> None:
    changed, report = tampered(owner, first, *more)
    assert bool(report.broken) == changed


def test_the_walk_ends_after_so_many_faults(owner: Engine) -> None:
    def riddle(connection: Connection) -> None:
        connection.execute(
            text(
                COPY.format(place="n", source=1, action="'x'", previous="hash", hash="hash").replace(
                    "FROM sluice.audit_event WHERE",
                    f"FROM sluice.audit_event, generate_series({LENGTH + 1}, 5000) AS n WHERE",
                )
            )
        )

    _, report = tampered(owner, riddle)
    assert not report.complete
    assert audit_chain.MOST <= len(report.broken) <= audit_chain.MOST + 1
    assert report.events < LENGTH + audit_chain.MOST + 1


# Rights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["audit_event", "audit_head", "state_transition"])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {}",
        "TRUNCATE {}",
        "TRUNCATE sluice.workflow_run, {} CASCADE",
        "DROP TABLE {}",
        "ALTER TABLE {} DISABLE TRIGGER ALL",
        "ALTER TABLE {} RENAME TO gone",
        "ALTER TABLE {} OWNER TO sluice_app",
        "CREATE TRIGGER mine BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION sluice.link_audit_event()",
        "CREATE RULE mine AS ON INSERT TO {} DO INSTEAD NOTHING",
    ],
)
def test_the_application_cannot_alter_the_record(shared: Made, table: str, statement: str) -> None:
    refuse(shared, statement.format(f"sluice.{table}"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sluice.audit_event SET actor = 'nobody'",
        "UPDATE sluice.audit_head SET sequence = 0",
        "UPDATE sluice.state_transition SET actor = 'nobody'",
        "INSERT INTO sluice.audit_head (stream, sequence, hash) VALUES ('s', 5, 'x')",
        "INSERT INTO sluice.state_transition (entity, entity_id, after, actor, at)"
        " VALUES ('workflow_run', gen_random_uuid(), 'SUCCEEDED', 'me', now())",
        "DROP TRIGGER link ON sluice.audit_event",
        "ALTER TABLE sluice.workflow_run DISABLE TRIGGER record_update",
        "CREATE OR REPLACE FUNCTION sluice.link_audit_event() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'",
        "ALTER FUNCTION sluice.link_audit_event() SECURITY INVOKER",
        "DROP FUNCTION sluice.link_audit_event CASCADE",
        "CREATE FUNCTION sluice.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "SET session_replication_role = replica",
        "SET ROLE sluice_owner",
        "SET SESSION AUTHORIZATION sluice_owner",
    ],
)
def test_the_application_cannot_get_around_it(shared: Made, statement: str) -> None:
    refuse(shared, statement)


def refuse(made: Made, statement: str) -> None:
    """The statement is refused to the application for want of rights."""
    engine = create_engine(made.app_url, poolclass=pool.NullPool)
    with pytest.raises(ProgrammingError, match=r"denied|must be owner"), engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(("sequence", "previous"), [(1, "0"), (LENGTH + 1, "0"), (LENGTH + 2, "x")])
def test_an_event_goes_in_only_behind_the_last(shared: Made, sequence: int, previous: str) -> None:
    columns = "stream, sequence, at, actor, action, subject, details, previous_hash, hash"
    row = f"('{STREAM}', {sequence}, now(), 'me', 'x', 'x', '{{}}', repeat('{previous}', 64), 'h')"
    engine = create_engine(shared.app_url, poolclass=pool.NullPool)
    with pytest.raises(IntegrityError, match="does not follow"), engine.begin() as connection:
        connection.execute(text(f"INSERT INTO sluice.audit_event ({columns}) VALUES {row}"))
