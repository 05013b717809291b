"""The host's ASGI application: the host's own pages, then the functions by their routes."""

import logging
from collections.abc import Iterable

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from localhost.host.exchange import (
    BodyTooLarge,
    UnusableResponse,
    read_body,
    request_datum,
    request_trace,
    response_of,
)
from localhost.host.functions import HTTP, Function, triggered_by
from localhost.host.invocation import Invoker
from localhost.host.routes import FunctionRoute, http_methods, in_order, parse_route
from localhost.host.settings import HostSettings

logger = logging.getLogger("host.function")

_HOME = "<!DOCTYPE html><title>Functions host</title><p>Your function app is up and running.</p>"


def function_routes(
    functions: Iterable[Function], invoker: Invoker, settings: HostSettings
) -> list[FunctionRoute]:
    """One route per HTTP function, in the order in which they are tried."""
    return list(
        in_order(
            FunctionRoute(
                function,
                parse_route(function, settings.route_prefix),
                frozenset(http_methods(function)),
                _endpoint(function, invoker, settings.body_limit),
            )
            for function in triggered_by(functions, HTTP)
        )
    )


def gateway(routes: Iterable[FunctionRoute], host_routes: Iterable[BaseRoute]) -> ASGIApp:
    """The application that uvicorn serves."""
    return Router([*host_routes, *routes], redirect_slashes=False, default=_not_found)


def _endpoint(function: Function, invoker: Invoker, body_limit: int) -> ASGIApp:
    if function.unsupported:
        return _not_served(function)
    outputs = tuple(binding.name for binding in function.bindings if binding.type == "http")

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, receive, body_limit)
        except BodyTooLarge:
            await _too_large(body_limit)(scope, receive, send)
            return
        except ConnectionResetError:
            return
        request = request_datum(scope, body, scope["path_params"])
        result = await invoker.invoke(function, request, trace=request_trace(scope))
        try:
            response = response_of(result, outputs)
        except UnusableResponse as exc:
            logger.error("The response of 'Functions.%s' cannot be sent: %s.", function.name, exc)
            response = Response(status_code=500)
        await response(scope, receive, send)

    return answer


def _not_served(function: Function) -> ASGIApp:
    bindings = ", ".join(function.unsupported)
    text = f"Function {function.name} uses bindings that this host does not serve: {bindings}."
    return PlainTextResponse(text, status_code=501)


def _too_large(limit: int) -> Response:
    text = f"The request body is larger than {limit} bytes, the limit of FUNCTIONS_REQUEST_BODY_SIZE_LIMIT."
    return PlainTextResponse(text, status_code=413, headers={"connection": "close"})


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] in ("", "/") and scope["method"] in ("GET", "HEAD"):
        await HTMLResponse(_HOME)(scope, receive, send)
    else:
        await Response(status_code=404)(scope, receive, send)
