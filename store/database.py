"""The unit of work: short transactions that say who acts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kernel.errors import Unavailable
from kernel.secrets import Secret
from store import audit
from store.driver import commit, end_trip, execute, together

AUTOMATIC = "sluice"
"""The actor of automatic changes: what sessions start with, so that it need not be said each time."""
_TRUSTED_SECONDS = 5.0
"""A connection that was used so recently is not asked whether it still is one."""
_ACT = "SELECT set_config('sluice.actor', %(actor)s, true)"


class Database:
    """The application's connection pools: one for transactions, one for reading. Small on purpose: instances
    x processes x pools meet one server."""

    def __init__(self, url: Secret, pool_size: int = 4, wait_seconds: float = 30) -> None:
        options = f"-c sluice.actor={AUTOMATIC}"
        self._engine = _engine(url, pool_size, wait_seconds, options)
        reading = f"{options} -c default_transaction_read_only=on"
        self._reader = _engine(url, pool_size, wait_seconds, reading, "AUTOCOMMIT")
        self._frozen = self._reader.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def transaction(self, actor: str, *, swift: bool = False) -> Iterator[Connection]:
        """One transaction in the name of `actor`, which the transition recorder writes down. In a `swift` one
        statements travel together as long as nobody asks for their answers; see `store.driver`.

        Raises `Unavailable` when the server cannot be reached, goes away or gives up (a deadlock, for
        example), and when all connections stay taken: whatever the caller does may be done again.
        """
        with (
            self._mapped(),
            self._engine.begin() as connection,
            together(connection) if swift else nullcontext(),
        ):
            if actor != AUTOMATIC:
                execute(connection, _ACT, {"actor": actor})
            with audit.recording(connection):
                yield connection
            commit(connection)

    @contextmanager
    def reading(self, *, frozen: bool = False) -> Iterator[Connection]:
        """Only reading; raises as `transaction` does. `frozen` sees nothing committed later, otherwise every
        statement sees what is committed when it begins."""
        with self._mapped(), (self._frozen if frozen else self._reader).connect() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        self._reader.dispose()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, PoolTimeout, psycopg.OperationalError) as exc:
            raise self._unavailable() from exc
        except DBAPIError as exc:
            if exc.connection_invalidated:
                raise self._unavailable() from exc
            raise

    def _unavailable(self) -> Unavailable:
        where = f"{self._engine.url.host}:{self._engine.url.port}/{self._engine.url.database}"
        return Unavailable(
            f"The database at {where} does not answer; check the server and the setting DATABASE_URL.",
            retry_after=5,
        )


def _engine(
    url: Secret,
    pool_size: int,
    wait_seconds: float,
    options: str,
    isolation: IsolationLevel = "READ COMMITTED",
) -> Engine:
    engine = create_engine(
        url.reveal(),
        isolation_level=isolation,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=wait_seconds,
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "application_name": "sluice", "options": options},
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _check_alive)
    event.listen(engine, "before_cursor_execute", _end_trip)
    return engine


def _end_trip(connection: Connection, *_others: Any) -> None:
    end_trip(connection)


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used_at"] = time.monotonic()


def _check_alive(connection: Any, record: Any, _proxy: Any) -> None:
    """Ask connections that have idled whether they still are ones; the pool replaces those that are not."""
    if time.monotonic() - record.info.get("used_at", time.monotonic()) < _TRUSTED_SECONDS:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except Exception as exc:  # whatever it fails with, the pool opens another
        raise DisconnectionError from exc
