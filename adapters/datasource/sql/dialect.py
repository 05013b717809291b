"""What differs between database systems. One module per system implements `Dialect`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from sqlalchemy import URL, Connection, Executable, TableClause
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError

from adapters.datasource.sql.settings import SqlSettings
from kernel.errors import ExternalError
from kernel.records import Column, Record


class TableRules(Protocol):
    """What a table demands of its rows; asks the database when first needed."""

    def columns_of(self, constraint: str) -> list[str]:
        """The columns a constraint is about, if it can be told."""
        ...

    def too_small_for(self, row: Record) -> list[str]:
        """The columns, with their types, that cannot hold the row's texts and numbers."""
        ...


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
    def is_silent(self, connection: DBAPIConnection) -> bool:
        """Whether the server has said nothing since the connection was used: it does before it closes one."""

    @abstractmethod
    def read_only(self, connection: Connection) -> Connection:
        """The connection, set so that its next transaction refuses to write."""

    @abstractmethod
    def prepare_write(self, connection: Connection) -> None:
        """Begin a transaction in which every constraint is checked by the statement that breaks it."""

    @abstractmethod
    def insert_missing(self, table: TableClause, key: str, columns: Sequence[Column]) -> Executable:
        """One statement that adds those rows whose key is not in the table yet and returns them whole. The
        rows are its parameters, see `row_parameters`."""

    @abstractmethod
    def row_parameters(self, columns: Sequence[Column], rows: Sequence[Record]) -> dict[str, Any]:
        """These rows as the parameters of `insert_missing`."""

    @abstractmethod
    def select_present(self, table: TableClause, key: str) -> Executable:
        """One statement that returns the rows with the keys in the parameter `keys` whole."""

    @abstractmethod
    def mapped(self, exc: SQLAlchemyError, place: str) -> ExternalError:
        """The error of ours for one of the driver's."""

    @abstractmethod
    def refuses_rows(self, exc: SQLAlchemyError) -> bool:
        """Whether the statement failed because of the rows in it."""

    @abstractmethod
    def rules(self, connection: Connection, table: TableClause) -> TableRules:
        """What the table demands of its rows."""

    @abstractmethod
    def refusal(self, exc: SQLAlchemyError, row: Record, rules: TableRules) -> str:
        """Why the database refuses this row: constraint and columns, none of its values."""

    @abstractmethod
    def outcome_unknown(self, exc: SQLAlchemyError) -> bool:
        """Whether a COMMIT that failed like this may have taken effect."""

    @abstractmethod
    def quieten(self, exc: SQLAlchemyError) -> None:
        """Take record values out of the exception's text, for those who log its whole chain."""
