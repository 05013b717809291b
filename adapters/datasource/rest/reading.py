"""FETCH and LOOKUP: JSON records as typed records."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from adapters.datasource.rest.http import Http
from adapters.datasource.rest.operations import FetchSpec, LookupSpec, ReadSpec
from adapters.datasource.rest.pages import Next, Page, Pager
from adapters.datasource.rest.places import ABSENT, at, shown
from adapters.datasource.rest.requests import address
from adapters.datasource.rest.templates import placeholders
from adapters.datasource.rest.transport import Call
from adapters.datasource.rest.wire import decoded
from kernel.errors import ExternalNotFound, Fault, InvalidData
from kernel.records import Column, Record, Records, Value, parse_columns
from kernel.timestamps import Unfit


def fetch(http: Http, name: str, spec: FetchSpec, values: Mapping[str, Value]) -> Iterator[Records]:
    """Pages of records, as the system pages them; one empty page if there are none."""
    pager = Pager(spec.pages, spec.max_pages)
    asked: Next | None = pager.first()
    base = http.settings.base_url
    while asked is not None:
        url = (
            http.same_origin(asked.url, base)
            if asked.url
            else address(http.settings, spec.fetch, spec.query, values, asked.query)
        )
        answer, data = http.read(Call("GET", url, spec.fetch), values)
        items = at(data, spec.items)
        if not isinstance(items, list):
            raise _no_records(name, f"no array at {shown(spec.items)}")
        yield Records(parse_columns(spec.columns), _typed(name, spec, items))
        base = answer.url
        asked = pager.after(Page(data, answer.next_link, len(items)))


def lookup(http: Http, name: str, spec: LookupSpec, values: Mapping[str, Value]) -> Record | None:
    """The one record, or `None`. Raises `InvalidData` when there are several."""
    url = address(http.settings, spec.lookup, spec.query, values)
    try:
        _, data = http.read(Call("GET", url, spec.lookup), values)
    except ExternalNotFound:
        # Without a parameter in it, the path itself must be wrong.
        if not placeholders(spec.lookup):
            raise
        return None
    found = listed(at(data, spec.record))
    if len(found) > 1:
        raise InvalidData(f"The lookup {name!r} finds more than one record. Narrow it, or make it a fetch.")
    records = _typed(name, spec, found)
    return records[0] if records else None


def listed(found: Any) -> list[Any]:
    """The records at a place that has one, several or none."""
    if found is ABSENT or found is None:
        return []
    return found if isinstance(found, list) else [found]


def _typed(name: str, spec: ReadSpec, items: Sequence[Any]) -> list[Record]:
    if not all(isinstance(item, Mapping) for item in items):
        raise _no_records(name, "something that is not an object among its records")
    faults: list[Fault] = []
    columns = [(column, _column(column, spec, items, faults)) for column in parse_columns(spec.columns)]
    if faults:
        raise InvalidData(
            f"Operation {name!r} delivers values that do not fit its columns. Declare other types, say where "
            "the columns are with fields, or list those that may be missing as optional.",
            faults=faults,
        )
    names = [column.name for column, _ in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(cells for _, cells in columns), strict=True)]


def _column(column: Column, spec: ReadSpec, items: Sequence[Any], faults: list[Fault]) -> list[Value]:
    """The typed values of one column; of several that do not fit, only the first is a fault."""
    place = spec.place_of(column.name)
    values: list[Value] = []
    for index, item in enumerate(items):
        cell = at(item, place)
        if cell is ABSENT and column.name not in spec.optional:
            faults.append(_missing(column, place, index))
            break
        try:
            values.append(decoded(None if cell is ABSENT else cell, column))
        except Unfit as exc:
            faults.append(_unfit(column, cell, exc, index))
            break
    return values


def _missing(column: Column, place: tuple[str, ...], index: int) -> Fault:
    message = f"Record {index + 1} of the page has nothing at {shown(place)}."
    return Fault("missing_field", message, field=column.name)


def _unfit(column: Column, cell: Any, exc: Unfit, index: int) -> Fault:
    # An object or array is not one value, and may hold fields that nobody declared.
    value = str(cell) if isinstance(cell, str | int | Decimal) else None
    message = f"{column.name} {exc.message} (record {index + 1} of the page)."
    return Fault("unfit_value", message, field=column.name, value=value, hint=exc.hint)


def _no_records(name: str, what: str) -> InvalidData:
    return InvalidData(f"The answer to operation {name!r} has {what}. Check where it says the records are.")
