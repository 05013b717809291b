"""From what a cell holds (text in CSV; text, numbers, dates in a workbook) to a typed value.

Text is kept exactly as it is. Numbers are never rounded, times never guessed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TypeGuard
from zoneinfo import ZoneInfo

from adapters.datasource.files.dates import DateFormat, iso_date
from adapters.datasource.files.parameters import ColumnSpec, RecordsParameters
from adapters.datasource.files.xlsx_gaps import NoValue
from kernel.records import Column, ColumnKind, Value
from kernel.timestamps import Unfit, instant, localised, moment_text, normal_text
from kernel.values import exact_decimal, exact_integer

type Cell = str | int | float | bool | date | datetime | time | timedelta | NoValue
type Reader = Callable[[Cell], Value]

# Above this a float no longer holds every whole number.
_EXACT_FLOAT = 2**53
_INTEGER = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Numbers:
    """How a file writes numbers: its decimal mark and its digit group separator."""

    def __init__(self, decimal_mark: str, thousands: str | None) -> None:
        mark = re.escape(decimal_mark)
        self._mark = decimal_mark
        self._thousands = thousands
        self._plain = re.compile(rf"[+-]?(?:\d+(?:{mark}\d+)?|{mark}\d+)", re.ASCII)
        group = re.escape(thousands) if thousands else None
        self._grouped = (
            re.compile(rf"[+-]?\d{{1,3}}(?:{group}\d{{3}})+(?:{mark}\d+)?", re.ASCII) if group else None
        )

    def plain(self, text: str) -> str:
        """The number with a point and without groups. Raises `Unfit`."""
        if self._grouped and self._thousands and self._grouped.fullmatch(text):
            text = text.replace(self._thousands, "")
        elif not self._plain.fullmatch(text):
            raise Unfit("is not a plain number", self._advice(text))
        return text if self._mark == "." else text.replace(self._mark, ".")

    def _advice(self, text: str) -> str:
        if text != text.strip() and self._plain.fullmatch(text.strip()):
            return "It has white space around it; set trim: true for the column."
        if re.fullmatch(r"[+-]?[\d.,' ]*\d", text, re.ASCII):
            return "Check the parameters thousands and decimal_mark."
        if re.fullmatch(r"[+-]?[\d.,]+[eE][+-]?\d+", text, re.ASCII):
            return "It is in scientific notation, which may have lost digits; export it in full."
        return "Read the column as text if it holds more than numbers."


@dataclass(frozen=True)
class _Context:
    """What reading a cell of one column depends on."""

    column: Column
    numbers: Numbers
    zone: ZoneInfo | None
    dates: DateFormat | None


def reader(column: Column, spec: ColumnSpec, parameters: RecordsParameters) -> Reader:
    """A function from a cell to the column's value or null; it raises `Unfit`."""
    context = _Context(
        column,
        Numbers(parameters.decimal_mark, parameters.thousands),
        ZoneInfo(parameters.time_zone) if parameters.time_zone else None,
        DateFormat.parse(spec.format) if spec.format else None,
    )
    nulls = frozenset({"", *parameters.null_values})
    from_text, from_cell = _TEXT_READERS[column.kind], _CELL_READERS[column.kind]

    def read(cell: Cell) -> Value:
        if isinstance(cell, NoValue):
            raise Unfit(cell.reason, "Correct the formula, calculate and save the workbook again.")
        if not isinstance(cell, str):
            return from_cell(cell, context)
        text = cell.strip() if spec.trim else cell
        if text not in nulls:
            return from_text(text, context)
        if spec.required:
            raise Unfit("is empty but required")
        return None

    return read


def _text(text: str, _context: _Context) -> str:
    return text


def _integer(text: str, context: _Context) -> int:
    plain = context.numbers.plain(text)
    if not _INTEGER.fullmatch(plain):
        raise Unfit("is not a whole number", "Declare the column as decimal.")
    return exact_integer(int(plain))


def _decimal(text: str, context: _Context) -> Decimal:
    return exact_decimal(Decimal(context.numbers.plain(text)), context.column)


def _boolean(text: str, _context: _Context) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError as exc:
        raise Unfit("is not true or false, yes or no, 1 or 0") from exc


def _date(text: str, context: _Context) -> date:
    return context.dates.read(text) if context.dates else iso_date(text)


def _timestamp(text: str, context: _Context) -> datetime:
    return instant(text, context.zone)


def _timestamp_text(text: str, context: _Context) -> str:
    return normal_text(text, context.zone)


def header_text(cell: Cell) -> str:
    """A workbook's header as text: 2011 for the number, not 2011.0."""
    try:
        return cell if isinstance(cell, str) else _plain_text(cell)
    except Unfit:
        return str(cell)


def _cell_text(cell: Cell, _context: _Context) -> str:
    return _plain_text(cell)


def _plain_text(cell: Cell) -> str:
    if isinstance(cell, bool):
        return str(cell).upper()
    if _is_number(cell):
        return str(int(cell)) if _is_whole(cell) else f"{Decimal(repr(cell)):f}"
    if isinstance(cell, date | time):
        return cell.isoformat()
    raise Unfit("is a duration, which has no agreed text form", "Format the cells as text or as numbers.")


def _cell_integer(cell: Cell, _context: _Context) -> int:
    if not _is_number(cell):
        raise _wrong(cell, "a number")
    if not _is_whole(cell):
        raise Unfit("is not a whole number that a workbook can hold exactly")
    return int(cell)


def _cell_decimal(cell: Cell, context: _Context) -> Decimal:
    if not _is_number(cell):
        raise _wrong(cell, "a number")
    # repr gives the shortest digits that name this float: what the workbook shows, not its binary expansion.
    value = Decimal(repr(cell))
    return exact_decimal(Decimal(int(cell)) if _is_whole(cell) else value, context.column)


def _cell_boolean(cell: Cell, _context: _Context) -> bool:
    if cell in (True, False):
        return bool(cell)
    raise _wrong(cell, "true or false")


def _cell_date(cell: Cell, _context: _Context) -> date:
    if isinstance(cell, datetime):
        raise Unfit("is a date with a time of day", "Declare the column as timestamp.")
    if not isinstance(cell, date):
        raise _wrong(cell, "a date")
    return cell


def _cell_timestamp(cell: Cell, context: _Context) -> datetime:
    return _cell_moment(cell, context).astimezone(UTC)


def _cell_timestamp_text(cell: Cell, context: _Context) -> str:
    return moment_text(_cell_moment(cell, context))


def _cell_moment(cell: Cell, context: _Context) -> datetime:
    """A date cell has no zone: it is local time. A date alone is its midnight, as the workbook stores it."""
    if isinstance(cell, date):
        local = cell if isinstance(cell, datetime) else datetime.combine(cell, time())
        return localised(local, context.zone)
    raise _wrong(cell, "a date and time")


def _is_number(cell: Cell) -> TypeGuard[float]:
    return isinstance(cell, float | int) and not isinstance(cell, bool)


def _is_whole(number: float) -> bool:
    return number.is_integer() and abs(number) <= _EXACT_FLOAT


def _wrong(cell: Cell, wanted: str) -> Unfit:
    return Unfit(f"is {_CELL_NAMES.get(type(cell), 'something else')}, not {wanted}")


_CELL_NAMES: Mapping[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    date: "a date",
    datetime: "a date and time",
    time: "a time of day",
    timedelta: "a duration",
}

_TEXT_READERS: Mapping[ColumnKind, Callable[[str, _Context], Value]] = {
    ColumnKind.TEXT: _text,
    ColumnKind.INTEGER: _integer,
    ColumnKind.DECIMAL: _decimal,
    ColumnKind.BOOLEAN: _boolean,
    ColumnKind.DATE: _date,
    ColumnKind.TIMESTAMP: _timestamp,
    ColumnKind.TIMESTAMP_TEXT: _timestamp_text,
}

_CELL_READERS: Mapping[ColumnKind, Callable[[Cell, _Context], Value]] = {
    ColumnKind.TEXT: _cell_text,
    ColumnKind.INTEGER: _cell_integer,
    ColumnKind.DECIMAL: _cell_decimal,
    ColumnKind.BOOLEAN: _cell_boolean,
    ColumnKind.DATE: _cell_date,
    ColumnKind.TIMESTAMP: _cell_timestamp,
    ColumnKind.TIMESTAMP_TEXT: _cell_timestamp_text,
}
