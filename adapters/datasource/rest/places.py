"""Places in JSON data: `results.0.id` is the id of the first of the results."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

ABSENT: Final = object()
"""What `at` gives for a place that the data does not have."""


def _place(given: Any) -> Any:
    if isinstance(given, str):
        return tuple(given.split(".")) if given else ()
    return tuple(given) if isinstance(given, list) else given


type Place = Annotated[tuple[str, ...], BeforeValidator(_place)]
"""A dotted path, or a list of names where a name has dots in it. The empty one is the data itself."""


def at(data: Any, place: tuple[str, ...]) -> Any:
    """What is at the place, or `ABSENT`. Parts that are numbers count the items of an array from 0."""
    for part in place:
        if isinstance(data, Mapping):
            data = data.get(part, ABSENT)
        elif isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        else:
            return ABSENT
    return data


def given_at(data: Any, place: tuple[str, ...]) -> Any:
    """What is at the place; `None` when it is null, empty or not there."""
    found = at(data, place)
    return None if found is ABSENT or found in ("", [], {}) else found


def placed(values: Mapping[tuple[str, ...], Any]) -> Any:
    """An object that has the values at their places; the value itself for the empty place."""
    made: dict[str, Any] = {}
    for place, value in values.items():
        if not place:
            return value
        inner = made
        for part in place[:-1]:
            inner = inner.setdefault(part, {})
        inner[place[-1]] = value
    return made


def shown(place: tuple[str, ...]) -> str:
    """The place for messages."""
    return ".".join(place) or "the top"
