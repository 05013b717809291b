"""Strict checks of values against column types: what a column cannot hold exactly is refused, never bent."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from kernel.records import Column, ColumnKind, Value
from kernel.timestamps import Unfit, moment_text, normal_text

_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1


def conform(value: Any, column: Column) -> Value:
    """`value` as `column` holds it: timestamps in UTC, `timestamp_text` in its normal form; null stays null.

    Raises `Unfit` for a value of another type or one that would lose digits. Floats are never accepted.
    """
    return None if value is None else _CHECKS[column.kind](value, column)


def exact_integer(value: int) -> int:
    """A whole number that fits 64 bits. Raises `Unfit`."""
    if not _INTEGER_MIN <= value <= _INTEGER_MAX:
        raise Unfit("does not fit a 64-bit integer", "Declare the column as decimal(38,0).")
    return value


def exact_decimal(value: Decimal, column: Column) -> Decimal:
    """A finite number whose digits fit the column's precision and scale. Raises `Unfit`."""
    if not value.is_finite():
        raise Unfit("is not a finite number")
    exponent = int(value.as_tuple().exponent)
    if -exponent > column.scale and _decimals(value) > column.scale:
        raise Unfit(
            f"has more than {column.scale} decimal places", "Declare more, or round it in the source."
        )
    if value and value.adjusted() >= column.precision - column.scale:
        raise Unfit(f"has more than {column.precision - column.scale} digits before the decimal point")
    return value


def _decimals(value: Decimal) -> int:
    """Decimal places that matter, without trailing zeros."""
    _, digits, exponent = value.as_tuple()
    significant = "".join(map(str, digits)).rstrip("0")
    return max(0, len(significant) - len(digits) - int(exponent)) if significant else 0


def _text(value: Any, _column: Column) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "text")
    if "\x00" in value:
        raise Unfit("holds a NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise Unfit("holds half of a surrogate pair, which is no character") from exc
    return value


def _integer(value: Any, _column: Column) -> int:
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return exact_integer(int(value))
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(value, "an integer")
    return exact_integer(value)


def _decimal(value: Any, column: Column) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool):
        return exact_decimal(Decimal(value), column)
    if not isinstance(value, Decimal):
        raise _wrong(value, "a decimal number")
    return exact_decimal(value, column)


def _boolean(value: Any, _column: Column) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "true or false")
    return value


def _date(value: Any, _column: Column) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _wrong(value, "a date")
    return value


def _timestamp(value: Any, _column: Column) -> datetime:
    if not isinstance(value, datetime):
        raise _wrong(value, "a timestamp")
    if value.utcoffset() is None:
        raise Unfit("is a timestamp without an offset from UTC")
    try:
        return value.astimezone(UTC)
    except OverflowError as exc:
        raise Unfit("lies outside the years 1 to 9999") from exc


def _timestamp_text(value: Any, column: Column) -> str:
    if isinstance(value, datetime):
        _timestamp(value, column)
        return moment_text(value)
    return normal_text(_text(value, column))


def _wrong(value: Any, wanted: str) -> Unfit:
    if isinstance(value, float):
        return Unfit(f"is a floating-point number, not {wanted}", "Cast it to DECIMAL first.")
    return Unfit(f"is of type {type(value).__name__}, not {wanted}")


_CHECKS: Mapping[ColumnKind, Callable[[Any, Column], Value]] = {
    ColumnKind.TEXT: _text,
    ColumnKind.INTEGER: _integer,
    ColumnKind.DECIMAL: _decimal,
    ColumnKind.BOOLEAN: _boolean,
    ColumnKind.DATE: _date,
    ColumnKind.TIMESTAMP: _timestamp,
    ColumnKind.TIMESTAMP_TEXT: _timestamp_text,
}
