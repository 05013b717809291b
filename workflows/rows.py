"""Rows to and from exact text: what SQL parameters, context pages and digests are made of."""

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from kernel.records import Column, ColumnKind, Record, Records, Value

CANONICAL_VERSION = 1
"""Raised whenever `canonical` gives another form for any value."""


def plain(value: Value) -> str | int | bool | None:
    """The value as JSON has it, nothing lost: decimals, dates and times as text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    return value


def parse_number(value: int | str) -> int | Decimal:
    """A number as `plain` has written it."""
    return value if isinstance(value, int) else Decimal(value)


def to_json(records: Records) -> str:
    """All rows as one JSON array of objects."""
    return json.dumps(records.rows, default=plain, ensure_ascii=False, separators=(",", ":"))


_READERS: dict[ColumnKind, Callable[[Any], Value]] = {
    ColumnKind.TEXT: str,
    ColumnKind.TIMESTAMP_TEXT: str,
    ColumnKind.INTEGER: int,
    ColumnKind.BOOLEAN: bool,
    ColumnKind.DECIMAL: lambda value: value if isinstance(value, Decimal) else Decimal(value),
    ColumnKind.DATE: lambda value: value if isinstance(value, date) else date.fromisoformat(value),
    ColumnKind.TIMESTAMP: lambda value: (
        value if isinstance(value, datetime) else datetime.fromisoformat(value)
    ),
}


def from_values(columns: tuple[Column, ...], found: Iterable[Sequence[Any]]) -> Records:
    """Rows from value tuples in column order, each value in its column's Python type."""
    readers = [(column.name, _READERS[column.kind]) for column in columns]
    made = [
        {
            name: None if value is None else read(value)
            for (name, read), value in zip(readers, row, strict=True)
        }
        for row in found
    ]
    return Records(columns, made)


def from_json(columns: tuple[Column, ...], text: str) -> Records:
    """The inverse of `to_json`."""
    names = [column.name for column in columns]
    return from_values(columns, ([row[name] for name in names] for row in json.loads(text)))


def digest(record: Record, names: Iterable[str] | None = None) -> str:
    """SHA-256 (hex) of a record's values in canonical form, independent of column order, behind the version
    of that form: digests of different versions say nothing about each other."""
    chosen = sorted(record) if names is None else sorted(names)
    pairs = [[name, canonical(record[name])] for name in chosen]
    text = json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))
    return f"{CANONICAL_VERSION}:{hashlib.sha256(text.encode()).hexdigest()}"


def canonical(value: Value) -> str | bool | list[str] | None:
    """One form for one meaning: what identifies a record must not depend on how a value is written.

    Equal numbers are the same value, whatever their trailing zeros and whether whole numbers or decimals;
    they stand in brackets, so that no text is taken for one. So are both Unicode forms of an accented letter,
    and an instant in any time zone.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, int | Decimal):
        digits = format(Decimal(value), "f")  # exact: `normalize` would round to 28 digits
        short = digits.rstrip("0").rstrip(".") if "." in digits else digits
        return [short if value else "0"]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else None
