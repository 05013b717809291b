"""Parameters whose names and types a connector declares."""

from decimal import Decimal
from typing import Any

import pytest

from adapters.parameters import declared_parameters, typed_parameters
from kernel.errors import InvalidRequest
from kernel.records import parse_columns


def values(types: dict[str, str], given: dict[str, Any]) -> dict[str, Any]:
    columns = parse_columns(types)
    return typed_parameters(declared_parameters("o", columns), columns, given, what="parameters")


def test_parameters_are_typed() -> None:
    types = {"a": "decimal(4,2)", "b": "integer", "c": "timestamp_text"}
    assert values(types, {"a": "12.50", "b": 7, "c": "2026-01-01 08:00Z"}) == {
        "a": Decimal("12.50"),
        "b": 7,
        "c": "2026-01-01T08:00:00+00:00",
    }


def test_parameters_that_do_not_fit_are_all_named_without_their_values() -> None:
    with pytest.raises(InvalidRequest) as caught:
        values(
            {"a": "decimal(4,2)", "b": "integer", "c": "text"},
            {"a": "1234.50", "b": 2**70, "c": "canary\0"},
        )
    assert [fault.path for fault in caught.value.faults] == ["a", "b", "c"]
    assert "canary" not in str(caught.value)
    with pytest.raises(InvalidRequest) as caught:
        values({"a": "decimal", "b": "date"}, {"a": 0.125, "b": "canary", "d": "canary"})
    assert [fault.path for fault in caught.value.faults] == ["a", "b", "d"]
    assert "canary" not in str(caught.value)
    assert "canary" not in str(caught.value.__cause__)
