"""Paths and query values with `{name}` where a parameter goes."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote

from kernel.errors import InvalidRequest
from kernel.records import Value

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)


def placeholders(template: str) -> set[str]:
    """The names that the template uses."""
    return set(_PLACEHOLDER.findall(template))


def filled(template: str, values: Mapping[str, Value]) -> str:
    """The template with its values as text."""
    return _PLACEHOLDER.sub(lambda match: text_of(values[match[1]]), template)


def filled_path(template: str, values: Mapping[str, Value]) -> str:
    """The template with its values, each quoted to stay within one part of the path.

    Raises `InvalidRequest` for values that would change which resource the path means.
    """

    def part(match: re.Match[str]) -> str:
        text = text_of(values[match[1]])
        if text in ("", ".", ".."):
            raise InvalidRequest(
                f"The parameter {match[1]!r} is part of the path {template!r} and must not be empty or dots."
            )
        return quote(text, safe="")

    return _PLACEHOLDER.sub(part, template)


def text_of(value: Value) -> str:
    """The value as URLs have it: ISO dates, instants in UTC, plain decimals, `true` and `false`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return instant_text(value)
    return "" if value is None else str(value)


def instant_text(value: datetime) -> str:
    """An aware datetime in UTC, as `2026-03-31T06:00:00Z`."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
