"""A local server that each test lays out."""

from collections.abc import Iterator

import pytest

from tests.support.answering import Answering, answering


@pytest.fixture(scope="session")
def _server() -> Iterator[Answering]:
    with answering() as made:
        yield made


@pytest.fixture
def server(_server: Answering) -> Answering:
    """The server, with nothing to answer."""
    _server.replies.clear()
    _server.asked.clear()
    return _server
