"""Deployments, an ERP, and options that make the suite thorough: `python -m tests.faults` uses them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from localhost.services import databases
from localhost.services.stack import Stack
from tests.faults.books import Books
from tests.faults.deployment import Deployment, Places
from tests.faults.tally import Tally
from tests.integration.conftest import erp_template, migrated, template
from tests.support.adapter_fixtures import erp_server
from tests.support.erp_server.client import ErpServer
from tests.support.eventually import eventually
from tests.support.services import Database, fresh_database
from tests.support.world import SteppingClock, closing, make_world

__all__ = ["erp_server", "erp_template", "migrated", "template"]

KILLS = 3
OUTAGE_SECONDS = 1.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Numbers of the quick suite and of the thorough one."""
    parser.addoption("--kills", type=int, default=KILLS, help="how often the host is killed")
    parser.addoption("--outage", type=float, default=OUTAGE_SECONDS, help="seconds that a service is away")
    parser.addoption("--fault-report", type=Path, default=None, help="a file that gets a line per tally")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many kills to make."""
    # Unknown to a run of all tests, which does not read this file in time; so with the other options.
    return int(request.config.getoption("--kills", default=KILLS))


@pytest.fixture
def outage(request: pytest.FixtureRequest) -> float:
    """How long a service stays away, in seconds."""
    return float(request.config.getoption("--outage", default=OUTAGE_SECONDS))


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[Tally], None]:
    """Writes a tally down, then checks it."""
    path: Path | None = request.config.getoption("--fault-report", default=None)

    def note(tally: Tally) -> None:
        if path is not None:
            with path.open("a") as file:
                file.write(json.dumps(tally.to_dict()) + "\n")
        tally.check()

    return note


@pytest.fixture
def erp(erp_server: ErpServer) -> ErpServer:
    """The module's ERP, free of faults."""
    erp_server.control(clear_faults=True, required={})
    return erp_server


@pytest.fixture(scope="module")
def module_books(services: Stack, template: str, erp_template: str, erp_server: ErpServer) -> Iterator[Books]:
    """The engine without a host, posting to the module's ERP."""
    with fresh_database(services, template=template) as made:
        name = f"{made.name}_erp"
        with services.postgres.connect() as connection:
            databases.create_database(connection, name, owner=databases.ERP, template=erp_template)
        address = services.postgres.url(name, databases.ERP).replace("+psycopg", "")
        storage = services.endpoints.storage_connection_string
        with closing(make_world(made.app_url, made.owner_url, address, storage)) as world:
            # The engine's waits take no time here; requests that the ERP carries out late do.
            clock = cast(SteppingClock, world.services.clock)
            clock.before_skip = lambda: eventually(
                lambda: erp_server.state()["late"] == 0, what="late requests were carried out"
            )
            yield Books(world, erp_server)
        with services.postgres.connect() as connection:
            databases.drop_database(connection, name)


@pytest.fixture
def books(module_books: Books, erp: ErpServer) -> Books:
    """The same with a fresh connector and an ERP without faults."""
    module_books.register()
    return module_books


@pytest.fixture
def hub_url(services: Stack, migrated: Database) -> Iterator[str]:
    """A database for the task hub of this test alone."""
    name = f"{migrated.name}_hub"
    with services.postgres.connect() as connection:
        databases.create_database(connection, name, owner=databases.HUB)
    yield services.postgres.url(name, databases.HUB).replace("+psycopg", "")
    with services.postgres.connect() as connection:
        databases.drop_database(connection, name)


@pytest.fixture
def deployment(
    services: Stack, migrated: Database, hub_url: str, erp: ErpServer, tmp_path: Path
) -> Iterator[Deployment]:
    """A deployment with a running host."""
    storage = services.endpoints.storage_connection_string
    made = Deployment(Places(migrated.app_url, migrated.owner_url, storage, hub_url), tmp_path, erp)
    try:
        made.up()
        yield made
    finally:
        made.close()
