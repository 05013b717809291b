"""Systems for adapter tests; tables and files live as long as a module's tests."""

from collections.abc import Iterator

import pytest

from localhost.services.stack import Stack
from tests.support import adapter_systems
from tests.support.adapter_systems import Erp, Share
from tests.support.erp_server.client import ErpServer


@pytest.fixture(scope="module")
def share(services: Stack) -> Iterator[Share]:
    """A blob container."""
    with adapter_systems.share(services.endpoints) as made:
        yield made


@pytest.fixture(scope="module")
def erp(services: Stack) -> Iterator[Erp]:
    """An ERP database."""
    with adapter_systems.erp(services) as made:
        yield made


@pytest.fixture(scope="module")
def erp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ErpServer]:
    """An ERP over HTTP."""
    server = ErpServer(tmp_path_factory.mktemp("erp"))
    server.start()
    try:
        yield server
    finally:
        server.stop()
