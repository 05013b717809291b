"""A migrated database to copy from, and worlds on real services."""

from collections.abc import Iterator

import psycopg
import pytest

from kernel.secrets import Secret
from localhost.services import databases
from localhost.services.stack import Stack
from store.migrate import upgrade
from tests.support.services import Database, fresh_database
from tests.support.world import World, closing, make_world


@pytest.fixture(scope="session")
def template(services: Stack) -> Iterator[str]:
    """The name of a database with all migrations, to be copied."""
    with fresh_database(services) as made:
        upgrade(Secret(made.owner_url), databases.APP)
        yield made.name


@pytest.fixture
def migrated(services: Stack, template: str) -> Iterator[Database]:
    """A migrated database of this test alone."""
    with fresh_database(services, template=template) as made:
        yield made


@pytest.fixture(scope="session")
def erp_template(services: Stack) -> Iterator[str]:
    """The name of an empty ERP database, to be copied."""
    with services.postgres.connect() as connection:
        databases.create_database(connection, "erp_template", owner=databases.ERP)
    yield "erp_template"
    with services.postgres.connect() as connection:
        databases.drop_database(connection, "erp_template")


@pytest.fixture
def erp_url(services: Stack, migrated: Database, erp_template: str) -> Iterator[str]:
    """A plain client's address of an ERP database of this test alone."""
    name = f"{migrated.name}_erp"
    with services.postgres.connect() as connection:
        databases.create_database(connection, name, owner=databases.ERP, template=erp_template)
    ends = services.endpoints
    yield psycopg.conninfo.make_conninfo(
        host=ends.erp_host, port=ends.erp_port, dbname=name, user=ends.erp_user, password=ends.erp_password
    )
    with services.postgres.connect() as connection:
        databases.drop_database(connection, name)


@pytest.fixture
def world(services: Stack, migrated: Database, erp_url: str) -> Iterator[World]:
    """A deployment with the example connectors."""
    storage = services.endpoints.storage_connection_string
    with closing(make_world(migrated.app_url, migrated.owner_url, erp_url, storage)) as made:
        yield made
