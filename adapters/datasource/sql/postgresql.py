"""PostgreSQL, by psycopg 3."""

import select as sockets
from collections.abc import Sequence
from typing import Any, ClassVar

from sqlalchemy import URL, Connection, Executable, TableClause, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import Text

from adapters.datasource.sql import dialect
from adapters.datasource.sql import postgresql_errors as errors
from adapters.datasource.sql.postgresql_table import TableRules
from adapters.datasource.sql.settings import SqlSettings
from adapters.datasource.sql.statements import sql_type
from kernel.errors import ExternalError
from kernel.records import Column, Record

_MILLISECONDS = 1000
_APPLICATION = "sluice"


class PostgreSQL(dialect.Dialect):
    """PostgreSQL 14 and later."""

    title: ClassVar[str] = "PostgreSQL"

    def url(self, settings: SqlSettings) -> URL:
        return URL.create(
            "postgresql+psycopg",
            username=settings.user,
            host=settings.host,
            port=settings.effective_port,
            database=settings.database,
        )

    def engine_options(self, settings: SqlSettings) -> dict[str, Any]:
        limit = settings.statement_timeout * _MILLISECONDS
        certificates = {"sslrootcert": settings.sslrootcert} if settings.sslrootcert else {}
        arguments = {
            "application_name": _APPLICATION,
            "connect_timeout": settings.connect_timeout,
            "sslmode": settings.effective_sslmode,
            # A peer that vanishes without a word would otherwise hold a batch for two hours.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "options": f"-c statement_timeout={limit} -c lock_timeout={limit} -c timezone=UTC",
            # Kept connections would prepare what they repeat; such a statement fails once its table changes.
            "prepare_threshold": None,
            **certificates,
        }
        # Looking for the hstore type would cost every connection a round trip.
        return {"connect_args": arguments, "use_native_hstore": False}

    def is_silent(self, connection: DBAPIConnection) -> bool:
        if connection.closed:
            return False
        looking = sockets.poll()
        looking.register(connection.fileno(), sockets.POLLIN)
        return not looking.poll(0)

    def read_only(self, connection: Connection) -> Connection:
        return connection.execution_options(postgresql_readonly=True)

    def prepare_write(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")

    def insert_missing(self, table: TableClause, key: str, columns: Sequence[Column]) -> Executable:
        arrays = (
            bindparam(_parameter(index), type_=ARRAY(sql_type(column)))
            for index, column in enumerate(columns)
        )
        names = [column.name for column in columns]
        sent = func.unnest(*arrays).table_valued(*names, name="sent").render_derived()
        return (
            insert(table)
            .from_select(names, select(*sent.c))
            .on_conflict_do_nothing(index_elements=[key])
            .returning(*table.c)
        )

    def row_parameters(self, columns: Sequence[Column], rows: Sequence[Record]) -> dict[str, Any]:
        return {_parameter(index): [row[column.name] for row in rows] for index, column in enumerate(columns)}

    def select_present(self, table: TableClause, key: str) -> Executable:
        return select(*table.c).where(table.c[key] == any_(bindparam("keys", type_=ARRAY(Text()))))

    def mapped(self, exc: SQLAlchemyError, place: str) -> ExternalError:
        return errors.mapped(exc, place)

    def refuses_rows(self, exc: SQLAlchemyError) -> bool:
        return errors.refuses_rows(exc)

    def rules(self, connection: Connection, table: TableClause) -> TableRules:
        return TableRules(connection, table)

    def refusal(self, exc: SQLAlchemyError, row: Record, rules: dialect.TableRules) -> str:
        return errors.refusal(exc, row, rules)

    def outcome_unknown(self, exc: SQLAlchemyError) -> bool:
        return errors.outcome_unknown(exc)

    def quieten(self, exc: SQLAlchemyError) -> None:
        errors.quieten(exc)


def _parameter(index: int) -> str:
    return f"values_{index}"


DIALECT = PostgreSQL()
