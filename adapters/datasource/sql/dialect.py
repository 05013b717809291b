"""What differs between database systems. One module per system implements `Dialect`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from sqlalchemy import URL, Connection, Executable, TableClause
from sqlalchemy.exc import SQLAlchemyError

from adapters.datasource.sql.settings import PushSpec, SqlSettings
from kernel.errors import ExternalError
from kernel.records import Column, Record


class Dialect(ABC):
    """A database system: how to connect, how to write each row at most once, what its errors mean."""

    title: ClassVar[str]
    """Its name in messages."""

    @abstractmethod
    def url(self, settings: SqlSettings) -> URL:
        """Where to connect, without the password."""

    @abstractmethod
    def engine_options(self, settings: SqlSettings) -> dict[str, Any]:
        """Arguments of `create_engine`: encryption, time limits, UTC as the session's time zone."""

    @abstractmethod
    def read_only(self, connection: Connection) -> Connection:
        """The connection, set so that its next transaction refuses to write."""

    @abstractmethod
    def prepare_write(self, connection: Connection) -> None:
        """Begin a transaction in which every constraint is checked by the statement that breaks it."""

    @abstractmethod
    def insert_missing(
        self, table: TableClause, key: str, columns: Sequence[Column], rows: Sequence[Record]
    ) -> Executable:
        """One statement that adds those `rows` whose key is not in the table yet and returns them whole."""

    @abstractmethod
    def select_present(self, table: TableClause, key: str, keys: Sequence[str]) -> Executable:
        """One statement that returns the rows with these keys whole."""

    @abstractmethod
    def mapped(self, exc: SQLAlchemyError, place: str) -> ExternalError:
        """The error of ours for one of the driver's."""

    @abstractmethod
    def refuses_rows(self, exc: SQLAlchemyError) -> bool:
        """Whether the statement failed because of the rows in it."""

    @abstractmethod
    def refusal(self, exc: SQLAlchemyError, spec: PushSpec, row: Record, connection: Connection) -> str:
        """Why the database refuses this row, without any of its values."""

    @abstractmethod
    def outcome_unknown(self, exc: SQLAlchemyError) -> bool:
        """Whether a COMMIT that failed like this may have taken effect."""

    @abstractmethod
    def quieten(self, exc: SQLAlchemyError) -> None:
        """Take record values out of the exception's text, for those who log its whole chain."""
