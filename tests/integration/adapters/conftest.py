"""The systems behind the adapters under test."""

from tests.support.adapter_fixtures import erp, share

__all__ = ["erp", "share"]
