"""Record values to and from JSON, exactly: no number is ever a float."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from adapters.datasource.rest.templates import instant_text
from kernel.records import Column, ColumnKind, Value
from kernel.timestamps import Unfit, instant
from kernel.values import conform

type DecimalForm = Literal["number", "text"]

_NUMBER = re.compile(r"-?\d{1,100}(\.\d{1,100})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LARGEST_EXPONENT = 400


class NotJson(Exception):
    """Bytes that are not JSON, or not such as records are made of."""


def parsed(body: bytes) -> Any:
    """JSON with decimals as `Decimal`.

    Raises `NotJson` for NaN and infinities too, for numbers too large to be a record's, and for data nested
    too deeply.
    """
    try:
        return json.loads(body, parse_float=_exact, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise NotJson(type(exc).__name__) from exc


def _exact(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as exc:
        raise ValueError("a number out of range") from exc
    # Turning 1e999999999 into an integer would take all memory.
    if abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError("a number out of range")
    return number


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def dumped(data: Any) -> str:
    """JSON without spaces; a `Decimal` becomes a number with the digits it has."""
    if isinstance(data, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{dumped(value)}" for name, value in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ",".join(map(dumped, data)) + "]"
    return format(data, "f") if isinstance(data, Decimal) else json.dumps(data)


def encoded(value: Value, column: Column, decimals: DecimalForm) -> Any:
    """A value that the column holds, as `dumped` takes it: decimals with the column's declared scale."""
    if isinstance(value, Decimal):
        sized = "(" in column.type
        number = Decimal(format(value, f".{column.scale}f" if sized else "f"))
        return format(number, "f") if decimals == "text" else number
    if isinstance(value, datetime):
        return instant_text(value)
    return value.isoformat() if isinstance(value, date) else value


def decoded(value: Any, column: Column) -> Value:
    """A JSON value as the column holds it. Raises `Unfit`."""
    reader = _READERS.get(column.kind)
    return conform(reader(value) if reader and isinstance(value, str) else value, column)


def _decimal(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise Unfit("is not a decimal number", "Write it like 1250.00.")
    return Decimal(text)


def _day(text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError as exc:
        raise Unfit("is not a date of the calendar", "Write it like 2026-03-31.") from exc
    raise Unfit("is not an ISO 8601 date", "Write it like 2026-03-31, or declare it as a timestamp.")


_READERS: Mapping[ColumnKind, Callable[[str], Value]] = {
    ColumnKind.DECIMAL: _decimal,
    ColumnKind.DATE: _day,
    ColumnKind.TIMESTAMP: instant,
}
