"""Values that stand in for those of a run when an expression is tried out before there is one."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from kernel.records import Column

SAMPLES: Mapping[str, Any] = MappingProxyType(
    {
        "text": "a",
        "integer": 1,
        "decimal": Decimal("1.5"),
        "boolean": True,
        "date": "2020-01-01",
        "timestamp": "2020-01-01T00:00:00+00:00",
        "timestamp_text": "2020-01-01T00:00:00+00:00",
    }
)
"""By type of input or column."""
RUN_SAMPLE: Mapping[str, Any] = MappingProxyType(
    {
        "id": "a",
        "workflow": "a",
        "version": "a",
        "requested_by": "a",
        "created_at": "2020-01-01T00:00:00Z",
    }
)


class SomeNumber(Decimal):
    """A number of which nobody knows whether it is whole: CEL does not compute with both kinds at once."""


SOME_NUMBER = SomeNumber("1.5")


def record_sample(columns: Iterable[Column]) -> dict[str, Any]:
    """A record of these columns."""
    return {column.name: SAMPLES[column.kind] for column in columns}


def with_whole_numbers(values: Any) -> Any:
    """The same values with every `SomeNumber` a whole one."""
    if isinstance(values, Mapping):
        return {name: with_whole_numbers(value) for name, value in values.items()}
    return SAMPLES["integer"] if isinstance(values, SomeNumber) else values
