"""One database: its connections, transactions and errors. Imports SQLAlchemy, so import it late."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from adapters.datasource.sql.dialect import Dialect
from adapters.datasource.sql.settings import SqlSettings
from kernel.errors import InDoubt
from kernel.secrets import Secret

_POOL_SIZE = 2
_POOL_WAIT_SECONDS = 10
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
            pool_pre_ping=True,
            # Parameters are record values; SQLAlchemy would put them into error texts and logs.
            hide_parameters=True,
        )
        event.listen(self._engine, "do_connect", _password_adder(password))

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


def _password_adder(password: Callable[[], Secret]) -> Callable[..., None]:
    """Hands the password to the driver for each new connection, so that the engine never holds it."""

    def add(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        parameters["password"] = password().reveal()

    return add
