"""Which kind of operation a connector's settings describe: each names its one verb."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Discriminator

_KINDS = ("fetch", "lookup", "push")


def _kind(spec: Any) -> str | None:
    if isinstance(spec, BaseModel):
        return next(kind for kind in _KINDS if kind in type(spec).model_fields)
    found = [kind for kind in _KINDS if isinstance(spec, Mapping) and kind in spec]
    return found[0] if len(found) == 1 else None


BY_KIND = Discriminator(
    _kind,
    custom_error_type="operation_kind",
    custom_error_message="An operation has exactly one of fetch, lookup and push",
)
"""Tells the models of operations apart; their tags are the kinds."""
