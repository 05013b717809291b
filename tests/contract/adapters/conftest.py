"""The systems behind the adapters under test."""

import pytest

from tests.contract.adapters.cases import Backends
from tests.support.adapter_fixtures import erp, erp_server, share
from tests.support.adapter_systems import Erp, Share
from tests.support.erp_server.client import ErpServer

__all__ = ["erp", "erp_server", "share"]


@pytest.fixture
def backends(share: Share, erp: Erp, erp_server: ErpServer) -> Backends:
    """All of them."""
    return Backends(share, erp, erp_server)
