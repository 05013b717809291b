"""Requests as the settings describe them. Pure."""

from collections.abc import Mapping
from urllib.parse import urlencode

from adapters.datasource.rest.settings import RestSettings
from adapters.datasource.rest.templates import filled, filled_path
from kernel.records import Value


def address(
    settings: RestSettings,
    path: str,
    query: Mapping[str, str],
    values: Mapping[str, Value],
    more: Mapping[str, str] | None = None,
) -> str:
    """The address of a path and query with these values; `more` goes over the query as it is."""
    pairs = {name: filled(template, values) for name, template in query.items()} | dict(more or {})
    encoded = f"?{urlencode(pairs)}" if pairs else ""
    return f"{settings.base_url}{filled_path(path, values)}{encoded}"
