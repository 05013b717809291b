"""The HTTP API."""

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel, RootModel

from docs.sections.models import keys_of
from docs.sections.tables import Schema, code, kind
from docs.sections.tables import table as table_of
from triggers.blueprint import ENDPOINTS
from triggers.http import Endpoint
from triggers.openapi import openapi_document, openapi_endpoint
from triggers.views import Page, View

_MEDIA = {"text": "YAML or JSON", "bytes": "the file's bytes"}


def table() -> str:
    """Every endpoint with what it takes and gives."""
    rows = (
        (
            f"`{endpoint.method} /api/{endpoint.path.replace('{*', '{')}`",
            endpoint.summary,
            code(endpoint.command) if endpoint.command else "anyone",
            _taken(endpoint),
            f"{endpoint.status}: {_given(endpoint)}",
        )
        for endpoint in (*ENDPOINTS, openapi_endpoint(ENDPOINTS))
    )
    return table_of(("request", "does", "command", "takes", "answers"), rows)


def bodies() -> str:
    """What each JSON body holds."""
    models = {endpoint.takes for endpoint in ENDPOINTS if isinstance(endpoint.takes, type)}
    ordered = sorted(models, key=lambda model: model.__name__)
    return "\n\n".join(f"### {model.__name__}\n\n{keys_of(model, model.__name__)}" for model in ordered)


def views() -> str:
    """What each JSON object holds that the API answers with; pages and whole documents are told elsewhere."""
    schemas = openapi_document(ENDPOINTS)["components"]["schemas"]
    shown = (name for name in sorted(schemas) if name.endswith(View.__name__))
    return "\n\n".join(_view(name, schemas) for name in shown)


def _view(name: str, schemas: Schema) -> str:
    schema = schemas[name]
    rows = ((code(field), kind(part, schemas)) for field, part in schema["properties"].items())
    return f"### {name}\n\n{schema.get('description', '')}\n\n{table_of(('field', 'value'), rows)}"


def _taken(endpoint: Endpoint) -> str:
    return "; ".join(_taken_parts(endpoint))


def _taken_parts(endpoint: Endpoint) -> Iterator[str]:
    if isinstance(endpoint.takes, str):
        yield _MEDIA[endpoint.takes]
    elif endpoint.takes is not None:
        yield _link(endpoint.takes)
    if endpoint.query:
        yield "query " + ", ".join(map(code, endpoint.query))
    if endpoint.headers:
        yield "header " + ", ".join(map(code, endpoint.headers))


def _given(endpoint: Endpoint) -> str:
    if issubclass(endpoint.gives, RootModel):
        return "a JSON document"
    (item,) = get_args(endpoint.gives.model_fields["items"].annotation) if _is_page(endpoint) else (None,)
    return f"list of {_link(item)}" if item else _link(endpoint.gives)


def _is_page(endpoint: Endpoint) -> bool:
    return issubclass(endpoint.gives, Page)


def _link(model: type[BaseModel]) -> str:
    return f"[{model.__name__}](#{model.__name__.lower()})"
