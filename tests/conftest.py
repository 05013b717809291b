"""Fixtures for real services; see tests/support/services.py."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localhost.services.stack import Endpoints, Stack
from tests.support.services import Database, fresh_database, install_services, session_stack

TESTS = Path(__file__).parent
LONG = ("demo", "secrecy", "faults", "taskhub", "host", "integration")
"""Folders of long tests, the longest files first."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long versions of tests that kill what they test: `pytest tests/taskhub tests/demo --soak`."""
    parser.addoption("--soak", action="store_true", help="run crash tests at length")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: much of the time, tests wait for servers."""
    return (os.process_cpu_count() or 1) + 1


def pytest_configure() -> None:
    """Let a session that is told to end stop its services first, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that workers that share the tests come to their end together."""
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(TESTS).parts[0], len(LONG)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install the services once it is known that a test wants them: downloads are no test's fault."""
    if any("services" in getattr(item, "fixturenames", ()) for item in session.items):
        install_services(print)


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Chooses how often to repeat: the first number normally, the second with --soak."""
    long = bool(request.config.getoption("--soak"))
    return lambda short, many: many if long else short


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
