"""Hosts that are shared by the tests of one module."""

from collections.abc import Iterator

import pytest

from tests.host.process import APPS, HostProcess


@pytest.fixture(scope="module")
def http_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """A host with the app of HTTP triggers."""
    with HostProcess(APPS / "http", tmp_path_factory.mktemp("http")) as host:
        yield host
