"""The roles and databases that Sluice and its example ERP use locally.

| database | owner | also enters |
|---|---|---|
| sluice | sluice_owner, which runs the migrations | sluice_app, which has what the migrations grant it |
| erp | erp | nobody |
| taskhub | taskhub, which is the embedded host | nobody |
"""

from collections.abc import Mapping

import psycopg
from psycopg import sql

OWNER = "sluice_owner"
APP = "sluice_app"
ERP = "erp"
HUB = "taskhub"
ROLES = (OWNER, APP, ERP, HUB)

_ROLE_EXISTS = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_DATABASE_EXISTS = "SELECT 1 FROM pg_database WHERE datname = %s"
_CLOSE = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC")


def provision(connection: psycopg.Connection, passwords: Mapping[str, str]) -> None:
    """Make every role and database exist, with these passwords. Safe to repeat; wants autocommit."""
    for role in ROLES:
        _set_role(connection, role, passwords[role])
    for database in ("postgres", "template1"):
        connection.execute(_CLOSE.format(sql.Identifier(database)))
    create_database(connection, "sluice", owner=OWNER, visitors=(APP,))
    create_database(connection, "erp", owner=ERP)
    create_database(connection, "taskhub", owner=HUB)


def create_database(
    connection: psycopg.Connection,
    name: str,
    *,
    owner: str,
    visitors: tuple[str, ...] = (),
    template: str = "template1",
) -> None:
    """Make a database exist that its owner and the visitors, and no other roles, can connect to."""
    place = sql.Identifier(name)
    if not connection.execute(_DATABASE_EXISTS, [name]).fetchone():
        # A copy of the files: cheaper than one by the log for databases as small as these.
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY").format(
                place, sql.Identifier(owner), sql.Identifier(template)
            )
        )
    connection.execute(_CLOSE.format(place))
    for visitor in visitors:
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(place, sql.Identifier(visitor))
        )


def drop_database(connection: psycopg.Connection, name: str) -> None:
    """Drop the database if it exists, ending whatever connections it still has."""
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _set_role(connection: psycopg.Connection, role: str, password: str) -> None:
    exists = connection.execute(_ROLE_EXISTS, [role]).fetchone()
    # Hashed here, so that the password itself can never get into the server's log.
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL("ALTER" if exists else "CREATE"), sql.Identifier(role), sql.Literal(hashed.decode())
        )
    )
