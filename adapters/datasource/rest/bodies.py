"""Records as request bodies: the same records always make the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.contract import Outgoing
from adapters.datasource.rest.operations import PushSpec
from adapters.datasource.rest.places import placed
from adapters.datasource.rest.wire import dumped, encoded
from adapters.rows import fitting
from kernel.records import Record, parse_columns


@dataclass(frozen=True)
class Ready:
    """A record that fits the operation's columns. `sent_key` is its key as the system sees it."""

    key: str
    sent_key: str
    values: Record


def ready(spec: PushSpec, outgoing: Outgoing) -> Ready:
    """The record as the columns hold it. Raises `Unfit`, naming the columns that are wrong."""
    values = fitting(parse_columns(spec.columns), outgoing.values)
    return Ready(outgoing.key, spec.sent_key(outgoing.key), values)


def body(spec: PushSpec, records: Sequence[Ready]) -> bytes:
    """The request's JSON: one record, or an array of them."""
    objects = [_object(spec, record) for record in records]
    content = objects[0] if spec.batch_size is None else objects
    return dumped(placed({spec.body: content})).encode()


def _object(spec: PushSpec, record: Ready) -> Any:
    values = {
        spec.place_of(column.name): encoded(record.values[column.name], column, spec.decimals)
        for column in parse_columns(spec.columns)
    }
    if spec.key and spec.key.field:
        values[spec.key.field] = record.sent_key
    return placed(values)
