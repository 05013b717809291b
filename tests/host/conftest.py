"""Hosts that are shared by the tests of one module, and databases for their task hubs."""

from collections.abc import Iterator, Mapping
from uuid import uuid4

import pytest

from localhost.host.hub_database import SETTING
from localhost.services import databases
from localhost.services.stack import Stack
from tests.host.process import APPS, HostProcess


@pytest.fixture(scope="module")
def http_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host with the app of HTTP triggers."""
    with HostProcess(APPS / "http", tmp_path_factory.mktemp("http")) as host:
        yield host


@pytest.fixture(scope="module")
def hub_environment(services: Stack) -> Iterator[Mapping[str, str]]:
    """The setting that gives hosts a new database for their task hub."""
    name = f"hub_{uuid4().hex[:12]}"
    with services.postgres.connect() as connection:
        databases.create_database(connection, name, owner=databases.HUB)
    yield {SETTING: services.postgres.url(name, databases.HUB).replace("+psycopg", "")}
    with services.postgres.connect() as connection:
        databases.drop_database(connection, name)
