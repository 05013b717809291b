"""One database: its connections, transactions and errors. Imports SQLAlchemy, so import it late."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from adapters.datasource.sql.dialect import Dialect
from adapters.datasource.sql.settings import SqlSettings
from kernel.errors import InDoubt
from kernel.secrets import Secret

_POOL_SIZE = 2
_POOL_WAIT_SECONDS = 10
_TRUSTED_SECONDS = 1.0
"""For so long after its last use a connection is taken to be alive unless it is known to be closed; later it
is asked, which takes a round trip."""
_DIALECTS = {"postgresql": "adapters.datasource.sql.postgresql"}


class Database:
    """Connects when first used, with at most two connections. `close()` releases them."""

    def __init__(self, settings: SqlSettings, password: Callable[[], Secret]) -> None:
        self.dialect: Dialect = import_module(_DIALECTS[settings.dialect]).DIALECT
        self.place = f"{self.dialect.title} database {settings.database!r} at {settings.address}"
        self._engine = create_engine(
            self.dialect.url(settings),
            **self.dialect.engine_options(settings),
            pool_size=_POOL_SIZE,
            max_overflow=0,
            pool_timeout=_POOL_WAIT_SECONDS,
            # Parameters are record values; SQLAlchemy would put them into error texts and logs.
            hide_parameters=True,
        )
        event.listen(self._engine, "do_connect", _password_adder(password))
        _ask_idle_connections(self._engine, self.dialect)
        self._made: dict[str, Any] = {}

    def once[T](self, operation: str, make: Callable[[], T]) -> T:
        """What `make` gave the first time: what an operation needs every time is built once."""
        if operation not in self._made:
            self._made[operation] = make()
        made: T = self._made[operation]
        return made

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection with a transaction that cannot write."""
        with self._mapped_errors(), self._engine.connect() as connection:
            yield self.dialect.read_only(connection)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose last transaction is committed at the end, or rolled back on an error.

        Raises `InDoubt` when the commit was sent and no answer came.
        """
        with self._mapped_errors(), self._engine.connect() as connection:
            self.dialect.prepare_write(connection)
            yield connection
            self._commit(connection)

    @contextmanager
    def rehearsing(self) -> Iterator[Connection]:
        """A connection whose transaction is always rolled back."""
        with self._mapped_errors(), self._engine.connect() as connection:
            self.dialect.prepare_write(connection)
            yield connection
            connection.rollback()

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def _commit(self, connection: Connection) -> None:
        try:
            connection.commit()
        except SQLAlchemyError as exc:
            if not self.dialect.outcome_unknown(exc):
                raise
            self.dialect.quieten(exc)
            raise InDoubt(
                f"The connection to {self.place} broke while a batch was committed, so it is unknown whether "
                "the batch was written. Send it again: rows that are there already are recognised."
            ) from exc

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as exc:
            error = self.dialect.mapped(exc, self.place)
            self.dialect.quieten(exc)
            raise error from exc


def _ask_idle_connections(engine: Engine, dialect: Dialect) -> None:
    """Have the pool replace a connection that broke while it was idle."""

    def note(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info["used"] = time.monotonic()

    def ask(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        idle = time.monotonic() - record.info.get("used", time.monotonic())
        if idle <= _TRUSTED_SECONDS and dialect.is_silent(connection):
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as exc:
            raise DisconnectionError from exc

    event.listen(engine, "checkin", note)
    event.listen(engine, "checkout", ask)


def _password_adder(password: Callable[[], Secret]) -> Callable[..., None]:
    """Hands the password to the driver for each new connection, so that the engine never holds it."""

    def add(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        parameters["password"] = password().reveal()

    return add
