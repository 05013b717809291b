"""Which columns of a SELECT may hold what its inputs call sensitive, and what may be seen of a record."""

from collections.abc import Iterable, Mapping
from typing import Any

from activities.work import Source
from kernel.records import Record
from kernel.redaction import redact_record
from workflows.rows import plain


def hidden_columns(sources: Iterable[Source], columns: Mapping[str, bool]) -> frozenset[str]:
    """The names among `columns` (name: whether it holds text) that must be treated as sensitive.

    A column of the same name as a sensitive one is. So is every text under a new name, as soon as an input
    has anything sensitive: SQL may have renamed it, or built a text around it.
    """
    sensitive: set[str] = set()
    known: set[str] = set()
    for source in sources:
        sensitive |= source.sensitive
        known |= {column.name for column in source.records.columns}
    if not sensitive:
        return frozenset()
    return frozenset(
        name for name, text in columns.items() if name in sensitive or (text and name not in known)
    )


def visible(record: Record, sensitive: Iterable[str]) -> dict[str, Any]:
    """What people may see of a record, as JSON that a database stores: it has no character for U+0000."""
    values = redact_record({name: plain(value) for name, value in record.items()}, sensitive)
    return {
        name: value.replace("\x00", "\ufffd") if isinstance(value, str) else value
        for name, value in values.items()
    }
