"""An ERP server, without faults at the start of each test."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from adapters.contract import Adapter
from tests.support import rest_connectors
from tests.support.adapter_fixtures import erp_server
from tests.support.erp_server.client import ErpServer

__all__ = ["erp_server"]

type MakeAdapter = Callable[..., Adapter]


@pytest.fixture
def server(erp_server: ErpServer) -> ErpServer:
    """The module's server, free of faults and open to anybody."""
    erp_server.control(clear_faults=True, required={}, token_seconds=3600)
    return erp_server


@pytest.fixture
def make_adapter(server: ErpServer) -> Iterator[MakeAdapter]:
    """Adapters to the server, closed at the end; arguments as of `rest_connectors.adapter`."""
    made: list[Adapter] = []

    def make(operations: Mapping[str, Any] | None = None, **changes: Any) -> Adapter:
        made.append(rest_connectors.adapter(server, operations, **changes))
        return made[-1]

    yield make
    for adapter in made:
        adapter.close()
