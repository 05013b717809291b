"""Identifiers: UUIDv7 (RFC 9562), so that primary keys sort by creation time."""

from uuid import UUID

from uuid6 import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return UUID(int=uuid7().int)
