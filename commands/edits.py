"""A person's changes to a record: every value must be one that its column holds."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from kernel.errors import Fault
from kernel.records import Column, ColumnKind, Value
from kernel.timestamps import Unfit, instant
from kernel.values import conform
from store.letter_payloads import Payload
from workflows.document import nearest

_NUMBER = re.compile(r"[-+]?\d{1,38}(\.\d{1,38})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def edited(payload: Payload, changes: Mapping[str, Any], place: str) -> tuple[Payload, list[Fault]]:
    """The record with these values changed, and everything that is wrong with them.

    `place` is the JSON pointer of the changes. Values are not repeated: they may be sensitive.
    """
    columns = {column.name: column for column in payload.columns}
    record, faults = dict(payload.record), []
    for name, value in changes.items():
        at = f"{place}/{name.replace('~', '~0').replace('/', '~1')}"
        if name not in columns:
            hint = nearest(name, list(columns))
            faults.append(Fault("unknown_field", "The record has no such field.", at, hint=hint))
            continue
        try:
            record[name] = conform(_read(value, columns[name]), columns[name])
        except Unfit as exc:
            said = f"{name} must be of type {columns[name].type}: the value {exc.message}."
            faults.append(Fault("wrong_type", said, at, field=name, hint=exc.hint))
    return Payload(payload.columns, record, payload.sensitive), faults


def _read(value: Any, column: Column) -> Any:
    """JSON has no dates and no decimals: those are given as text."""
    read = _READERS.get(column.kind)
    return read(value) if read is not None and isinstance(value, str) else value


def _decimal(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise Unfit("is no number", 'Write it like "50.00".')
    return Decimal(text)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError as exc:
        raise Unfit("is no date", "Write it as YYYY-MM-DD.") from exc


_READERS: Mapping[ColumnKind, Callable[[str], Value]] = {
    ColumnKind.DECIMAL: _decimal,
    ColumnKind.DATE: _date,
    ColumnKind.TIMESTAMP: instant,
}
