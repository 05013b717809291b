"""Fixtures for real services; see tests/support/services.py."""

import signal
from collections.abc import Iterator

import pytest

from localhost.services.stack import Endpoints, Stack
from tests.support.services import Database, fresh_database, install_services, session_stack


def pytest_configure() -> None:
    """Let a session that is told to end stop its services first, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install the services once it is known that a test wants them: downloads are no test's fault."""
    if any("services" in getattr(item, "fixturenames", ()) for item in session.items):
        install_services(print)


@pytest.fixture(scope="session")
def services() -> Iterator[Stack]:
    """The running services, for tests that need more than their addresses."""
    with session_stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def stack(services: Stack) -> Endpoints:
    """The addresses of PostgreSQL and Azurite; both run for the whole session."""
    return services.endpoints


@pytest.fixture
def database(services: Stack) -> Iterator[Database]:
    """An empty database of this test alone."""
    with fresh_database(services) as database:
        yield database
