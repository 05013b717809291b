"""Brings a database to the newest revision."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, pool

from kernel.secrets import Secret


def upgrade(url: Secret, app_role: str) -> None:
    """Run all migrations as the role that owns the schema and grant `app_role` its rights."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    engine = create_engine(url.reveal(), poolclass=pool.NullPool, hide_parameters=True)
    with engine.connect() as connection:
        config.attributes.update(connection=connection, app_role=app_role)
        command.upgrade(config, "head")
        connection.commit()
    engine.dispose()
