"""The unit of work: short transactions that say who acts."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kernel.errors import Unavailable
from kernel.secrets import Secret
from store import audit


class Database:
    """The application's connection pool. Small on purpose: instances x processes x pool meet one server."""

    def __init__(self, url: Secret, pool_size: int = 4, wait_seconds: float = 30) -> None:
        self._engine: Engine = create_engine(
            url.reveal(),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=wait_seconds,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"connect_timeout": 5, "application_name": "sluice"},
        )

    @contextmanager
    def transaction(self, actor: str) -> Iterator[Connection]:
        """One transaction in the name of `actor`, which the transition recorder writes down.

        Raises `Unavailable` when the server cannot be reached, goes away or gives up (a deadlock, for
        example), and when all connections stay taken: whatever the caller does may be done again.
        """
        with self._mapped(), self._engine.begin() as connection:
            connection.execute(text("SELECT set_config('sluice.actor', :actor, true)"), {"actor": actor})
            with audit.recording(connection):
                yield connection

    @contextmanager
    def reading(self, *, frozen: bool = False) -> Iterator[Connection]:
        """A read-only transaction; raises as `transaction` does. `frozen` sees nothing committed later."""
        level = "REPEATABLE READ" if frozen else "READ COMMITTED"
        with self._mapped(), self._engine.connect() as connection:
            connection.execute(text(f"SET TRANSACTION ISOLATION LEVEL {level} READ ONLY"))
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, PoolTimeout) as exc:
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
