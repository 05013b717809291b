"""Alembic's entry: runs migrations over the connection it is handed, or over `SLUICE_MIGRATION_URL`."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine, pool, text

from store.tables import SCHEMA, metadata

APP_ROLE_ATTRIBUTE = "app_role"
# Serialises migrations: two deployments at once must not run the same revision twice.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('sluice.migrations'))"


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=metadata, version_table_schema=SCHEMA, include_schemas=True
    )
    with context.begin_transaction():
        connection.execute(text(_LOCK))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        context.run_migrations()


def main() -> None:
    """Use the caller's connection if there is one."""
    attributes = context.config.attributes
    attributes.setdefault(APP_ROLE_ATTRIBUTE, os.environ.get("SLUICE_APP_ROLE", "sluice_app"))
    given = attributes.get("connection")
    if given is not None:
        _run(given)
        return
    url = os.environ.get("SLUICE_MIGRATION_URL")
    if not url:
        raise SystemExit("Set SLUICE_MIGRATION_URL to the database, as the role that owns schema sluice.")
    with create_engine(url, poolclass=pool.NullPool).begin() as connection:
        _run(connection)


main()
