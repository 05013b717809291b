"""How many chunks of a dispatch may fail: a count, or a share of all."""

import re
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from pydantic_core import PydanticCustomError

PATTERN = r"^(100|\d{1,2}(\.\d{1,4})?)%$"
"""A percentage as definitions write it."""


def checked_tolerance(given: Any) -> Any:
    """What `tolerate` may be, unchanged; pydantic's error otherwise."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    if isinstance(given, str) and re.fullmatch(PATTERN, given, re.ASCII):
        return given
    raise PydanticCustomError("tolerance", "Write a count such as 3, or a percentage of all chunks as `5%`")


def parse_tolerance(tolerate: int | str, total: int) -> int:
    """How many of `total` chunks may fail without failing the dispatch. Percentages round down."""
    if isinstance(tolerate, int):
        return tolerate
    share = Decimal(tolerate.removesuffix("%")) / 100 * total
    return int(share.to_integral_value(ROUND_FLOOR))
