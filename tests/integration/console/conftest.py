"""A request that waits, shared by the tests of a module that leave it so."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from localhost.services import databases
from localhost.services.stack import Stack
from tests.support.approvals import asked, suspended
from tests.support.services import fresh_database
from tests.support.world import World, closing, make_world


@dataclass(frozen=True)
class Waiting:
    """A deployment with one request, and the address of its page."""

    world: World
    address: str


@pytest.fixture(scope="module")
def waiting(services: Stack, template: str, erp_template: str) -> Iterator[Waiting]:
    """One for all tests of a module: they must not decide it."""
    ends = services.endpoints
    with fresh_database(services, template=template) as made, services.postgres.connect() as connection:
        name = f"{made.name}_erp"
        databases.create_database(connection, name, owner=databases.ERP, template=erp_template)
        erp_url = psycopg.conninfo.make_conninfo(
            host=ends.erp_host,
            port=ends.erp_port,
            dbname=name,
            user=ends.erp_user,
            password=ends.erp_password,
        )
        storage = ends.storage_connection_string
        with closing(make_world(made.app_url, made.owner_url, erp_url, storage)) as world:
            [row] = asked(world, suspended(world))
            yield Waiting(world, f"/approvals/{row.id}")
        databases.drop_database(connection, name)
