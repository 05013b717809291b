"""Task hubs under test: ours in its two ways of working, and durabletask's in-memory backend beside it."""

from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from localhost.services.stack import Stack
from tests.support.services import fresh_database
from tests.taskhub.backends import KINDS, Backend, HubBackend, open_backend


@pytest.fixture(scope="session")
def hub_url(services: Stack) -> Iterator[str]:
    """A database for hubs; every test has a hub of its own in it."""
    with fresh_database(services) as database:
        yield database.owner_url.replace("+psycopg", "")


@pytest.fixture
def hub_name() -> str:
    """A hub that nobody else has."""
    return f"hub{uuid4().hex[:12]}"


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, hub_url: str, hub_name: str) -> Iterator[Backend]:
    """Each implementation in turn. Tests of what the in-memory backend lacks use `hub`."""
    with ExitStack() as stack:
        yield open_backend(request.param, stack, hub_url, hub_name)


@pytest.fixture(params=[kind for kind in KINDS if kind != "memory"])
def hub(request: pytest.FixtureRequest, hub_url: str, hub_name: str) -> Iterator[HubBackend]:
    """Our hub with its in-process dispatcher and with a worker on a stream."""
    with ExitStack() as stack:
        opened = open_backend(request.param, stack, hub_url, hub_name)
        assert isinstance(opened, HubBackend)
        yield opened
