"""The records of a write as tables that a person can go through: grouped, searched, in pages, and as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from commands.approvals import Lines
from console.figures import decimal

PAGE = 100
_DIGITS = 80
_GROUPED = 1.5
"""With fewer records in a group on average, groups only lengthen the table."""

type Row = Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What of the records is looked for: a text in any column, and which page."""

    text: str = ""
    page: int = 1


@dataclass(frozen=True)
class Group:
    """Records that have the same first key value. `count` and `sums` are of all that were found of the group,
    `rows` those on this page."""

    name: str
    count: int
    sums: Mapping[str, Decimal]
    rows: Sequence[Row]


@dataclass(frozen=True)
class LineTable:
    """One page of the records of one write. `by` is the column of the groups, empty without any."""

    lines: Lines
    wanted: Wanted
    by: str
    groups: Sequence[Group]
    sums: Mapping[str, Decimal]
    found: int
    page: int
    pages: int

    @property
    def first(self) -> int:
        """The number of the first record on the page, from 1."""
        return (self.page - 1) * PAGE + 1

    @property
    def last(self) -> int:
        """The number of the last one."""
        return min(self.page * PAGE, self.found)


def line_table(lines: Lines, measures: Mapping[str, Any], wanted: Wanted) -> LineTable:
    """The page that is wanted, or the last. Sums are shown of the columns of which the sum is a measure of
    the write: that of others, such as rates, means nothing."""
    summed = [name for name in lines.columns if _is_measured(lines, name, measures)]
    rows = found(lines, wanted.text)
    by = _grouping(lines, rows)
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(_shown(row[by]) if by else "", []).append(row)
    pages = max(1, -(-len(rows) // PAGE))
    page = min(max(1, wanted.page), pages)
    groups = _on_page(grouped, summed, (page - 1) * PAGE)
    return LineTable(lines, wanted, by, groups, _sums(rows, summed), len(rows), page, pages)


def found(lines: Lines, text: str) -> list[Row]:
    """The records that hold a text in any column, in any case."""
    sought = text.casefold()
    if not sought:
        return list(lines.rows)
    return [row for row in lines.rows if any(sought in _shown(value).casefold() for value in row.values())]


def as_csv(lines: Lines) -> bytes:
    """All records as CSV (RFC 4180) that spreadsheets take for UTF-8 and never for formulas."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_harmless(name) for name in lines.columns])
    for row in lines.rows:
        writer.writerow([_cell(lines, name, row[name]) for name in lines.columns])
    return out.getvalue().encode("utf-8-sig")


def _cell(lines: Lines, name: str, value: Any) -> str:
    return _shown(value) if name in lines.numbers else _harmless(_shown(value))


def _harmless(text: str) -> str:
    """A text that begins as formulas do gets an apostrophe (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _is_measured(lines: Lines, name: str, measures: Mapping[str, Any]) -> bool:
    if name not in lines.numbers or name not in measures:
        return False
    return decimal(measures[name]) == _sum(lines.rows, name)


def _grouping(lines: Lines, rows: Sequence[Row]) -> str:
    by = next((name for name in lines.key if name in lines.columns and name not in lines.hidden), "")
    groups = {_shown(row[by]) for row in rows} if by else set()
    return by if groups and len(rows) >= _GROUPED * len(groups) else ""


def _on_page(grouped: Mapping[str, list[Row]], summed: Sequence[str], first: int) -> list[Group]:
    groups, passed = [], 0
    for name, rows in grouped.items():
        shown = rows[max(0, first - passed) : max(0, first + PAGE - passed)]
        passed += len(rows)
        if shown:
            groups.append(Group(name, len(rows), _sums(rows, summed), shown))
    return groups


def _sums(rows: Sequence[Row], summed: Sequence[str]) -> dict[str, Decimal]:
    return {name: _sum(rows, name) for name in summed}


def _sum(rows: Sequence[Row], name: str) -> Decimal:
    with localcontext(prec=_DIGITS):
        return sum((Decimal(row[name]) for row in rows if row[name] is not None), Decimal(0))


def _shown(value: Any) -> str:
    return "" if value is None else str(value)
