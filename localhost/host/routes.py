"""Which function answers a request: Azure's route rules on Starlette's router."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from localhost.host.errors import LoadError
from localhost.host.functions import Function
from localhost.host.templates import Template, TemplateError, decode_path, parse_template


class FunctionRoute(BaseRoute):
    """The route of one HTTP function. A method it does not serve is no match, hence a 404 as in Azure."""

    def __init__(
        self, function: Function, template: Template, methods: frozenset[str], endpoint: ASGIApp
    ) -> None:
        self.function = function
        self.template = template
        self.methods = methods
        self._endpoint = endpoint

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette's question whether this route answers a request."""
        if scope["type"] != "http" or (self.methods and scope["method"] not in self.methods):
            return Match.NONE, {}
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        parameters = self.template.match(decode_path(raw.decode("ascii", "replace")))
        if parameters is None:
            return Match.NONE, {}
        return Match.FULL, {"path_params": parameters}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that matched."""
        await self._endpoint(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """Function routes have no reverse lookup."""
        raise NoMatchFound(name, path_params)


def http_methods(function: Function) -> tuple[str, ...]:
    """The methods an HTTP function lists; none means all."""
    return tuple(str(method).upper() for method in function.trigger.properties.get("methods") or ())


def route_text(function: Function, prefix: str) -> str:
    """The whole route template of an HTTP function, prefix included."""
    route = function.trigger.properties.get("route")
    parts = (prefix, function.name if route is None else str(route).strip("/"))
    return "/".join(part for part in parts if part)


def parse_route(function: Function, prefix: str) -> Template:
    """The parsed route of an HTTP function. Raises LoadError naming the function if it is malformed."""
    try:
        return parse_template(route_text(function, prefix))
    except TemplateError as exc:
        raise LoadError(f"Function {function.name}: {exc} Correct its route.") from exc


def in_order(routes: Iterable[FunctionRoute]) -> Sequence[FunctionRoute]:
    """Routes as they are tried, segment by segment: literal, constrained, free, catch-all."""
    return sorted(routes, key=lambda route: route.template.precedence)
