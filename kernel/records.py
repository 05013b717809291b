"""Records and their column types: what adapters deliver and steps work on.

Money and hours are `Decimal` or whole numbers, never floats. A `timestamp_text` is a validated ISO 8601
timestamp kept as text with its own UTC offset, for workflows that need the local day or hour.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NoReturn

type Value = str | int | Decimal | bool | date | datetime | None
type Record = dict[str, Value]


class ColumnKind(StrEnum):
    """The types a column may have."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIMESTAMP_TEXT = "timestamp_text"


_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")
_DEFAULT_PRECISION, _DEFAULT_SCALE = 38, 10


@dataclass(frozen=True)
class Column:
    """One column. `precision` and `scale` count decimal digits and matter for decimals only."""

    name: str
    kind: ColumnKind
    precision: int = _DEFAULT_PRECISION
    scale: int = _DEFAULT_SCALE

    @classmethod
    def parse(cls, name: str, text: str) -> "Column":
        """The column that a type such as `text`, `date` or `decimal(18,2)` describes.

        Raises `ValueError` with the list of types when `text` is none of them.
        """
        sized = _DECIMAL.fullmatch(text.strip().lower())
        if sized:
            precision, scale = int(sized[1]), int(sized[2])
            if not (1 <= precision <= _DEFAULT_PRECISION and scale <= precision):
                raise ValueError(f"{text!r}: use a precision of 1 to 38 and a scale of at most that.")
            return cls(name, ColumnKind.DECIMAL, precision, scale)
        try:
            return cls(name, ColumnKind(text.strip().lower()))
        except ValueError as exc:
            known = ", ".join([*ColumnKind, "decimal(p,s)"])
            raise ValueError(f"{text!r} is not a column type; use one of {known}.") from exc

    @property
    def type(self) -> str:
        """The type as `parse` reads it."""
        sized = (self.precision, self.scale) != (_DEFAULT_PRECISION, _DEFAULT_SCALE)
        return f"decimal({self.precision},{self.scale})" if sized else str(self.kind)


def parse_columns(types: Mapping[str, str]) -> tuple[Column, ...]:
    """Columns in the order given."""
    return tuple(Column.parse(name, text) for name, text in types.items())


@dataclass
class Records:
    """Rows with their columns, in order. Lives in memory only: it refuses to be pickled or printed."""

    columns: tuple[Column, ...]
    rows: list[Record] = field(default_factory=list)

    def extend(self, rows: Iterable[Record]) -> None:
        """Append rows of the same columns."""
        self.rows.extend(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Records({len(self.rows)} rows, columns {[column.name for column in self.columns]})"

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("Records stay in memory; use the context codec to move them across a boundary.")
