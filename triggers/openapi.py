"""OpenAPI 3.1 from the same models that parse requests."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, RootModel
from pydantic.json_schema import models_json_schema

from kernel.release import VERSION
from triggers.http import Answer, Endpoint, Request
from triggers.views import ProblemView

_REF = "#/components/schemas/{model}"
_MEDIA = {"text": "application/yaml", "bytes": "application/octet-stream"}
_PROBLEM = {
    "description": "Problem details (RFC 9457) with a stable `code`",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemView"}}},
}
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of Entra ID, or an API key"},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "person": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Sluice-Person",
        "description": "A test person, on a local machine only",
    },
}


class OpenApi(RootModel[dict[str, Any]]):
    """An OpenAPI document."""


def openapi_document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document for these endpoints."""
    models = {ProblemView} | {model for endpoint in endpoints for model in _models(endpoint)}
    ordered = sorted(models, key=lambda model: model.__name__)
    refs, definitions = models_json_schema([(model, "serialization") for model in ordered], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = "/api/" + re.sub(r"\{\*?(\w+)\}", r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sluice", "version": VERSION, "description": "A governed workflow runtime."},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": _SCHEMES,
        },
        "security": [{name: []} for name in _SCHEMES],
    }


def openapi_endpoint(endpoints: Sequence[Endpoint]) -> Endpoint:
    """The endpoint that serves the document of the others."""

    def show(_request: Request) -> Answer:
        return Answer(OpenApi(openapi_document(endpoints)))

    return Endpoint("openapi", "GET", "openapi.json", "This description", show, OpenApi, anonymous=True)


def _models(endpoint: Endpoint) -> list[type[BaseModel]]:
    taken = [endpoint.takes] if isinstance(endpoint.takes, type) else []
    return [*taken, endpoint.gives, *([endpoint.previews] if endpoint.previews else [])]


def _operation(endpoint: Endpoint, refs: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": _parameters(endpoint),
        "responses": {
            **{
                str(status): {
                    "description": HTTPStatus(status).phrase,
                    "content": {"application/json": {"schema": _given(endpoint, status, refs)}},
                }
                for status in (endpoint.status, *endpoint.also)
            },
            "default": _PROBLEM,
        },
    }
    if isinstance(endpoint.takes, type):
        body = {"application/json": {"schema": refs[(endpoint.takes, "serialization")]}}
        operation["requestBody"] = {"required": True, "content": body}
    elif endpoint.takes is not None:
        content = {_MEDIA[endpoint.takes]: {"schema": {"type": "string"}}}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.anonymous:
        operation["security"] = []
    return operation


def _given(endpoint: Endpoint, status: int, refs: Any) -> dict[str, Any]:
    given: dict[str, Any] = refs[(endpoint.gives, "serialization")]
    if endpoint.previews is None or status != HTTPStatus.OK:
        return given
    return {"anyOf": [refs[(endpoint.previews, "serialization")], given]}


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    text = {"schema": {"type": "string"}}
    names = re.findall(r"\{\*?(\w+)\}", endpoint.path)
    return [
        *({"name": name, "in": "path", "required": True, **text} for name in names),
        *({"name": n, "in": "query", "description": d, **text} for n, d in endpoint.query.items()),
        *({"name": n, "in": "header", "description": d, **text} for n, d in endpoint.headers.items()),
    ]
