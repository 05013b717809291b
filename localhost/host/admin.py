"""The host's own pages under /admin: is it up, what functions does it have, run a timer now."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router

from localhost.host.functions import HTTP, TIMER, Function
from localhost.host.local_only import local_only
from localhost.host.routes import route_text

type FireNow = Callable[[Function], Awaitable[object]]


class AdminApi:
    """Implements the part of the Functions host's admin API that local tools use."""

    def __init__(self, functions: Iterable[Function], base_url: str, prefix: str, fire_now: FireNow) -> None:
        self._functions = {function.name.casefold(): function for function in functions}
        self._base_url = base_url
        self._prefix = prefix
        self._fire_now = fire_now
        self._began = time.monotonic()
        self._running: set[asyncio.Future[object]] = set()

    def mount(self) -> Mount:
        """The API at its place, for callers on this machine only."""
        routes = [
            Route("/host/ping", self._ping, methods=["GET", "POST"]),
            Route("/host/status", self._status, methods=["GET"]),
            Route("/functions", self._list, methods=["GET"]),
            Route("/functions/{name}", self._one, methods=["GET"]),
            Route("/functions/{name}", self._run, methods=["POST"]),
        ]
        return Mount("/admin", app=local_only(Router(routes, redirect_slashes=False)))

    async def _ping(self, request: Request) -> Response:
        return Response()

    async def _status(self, request: Request) -> Response:
        uptime = int((time.monotonic() - self._began) * 1000)
        return JSONResponse({"id": "localhost", "state": "Running", "version": "4", "processUptime": uptime})

    async def _list(self, request: Request) -> Response:
        return JSONResponse([self._view(function) for function in self._functions.values()])

    async def _one(self, request: Request) -> Response:
        function = self._functions.get(request.path_params["name"].casefold())
        return Response(status_code=404) if function is None else JSONResponse(self._view(function))

    async def _run(self, request: Request) -> Response:
        function = self._functions.get(request.path_params["name"].casefold())
        if function is None:
            return Response(status_code=404)
        if function.trigger.type != TIMER or function.unsupported:
            text = f"Only timer functions can be run here; {function.name} has a {function.trigger.type}."
            return PlainTextResponse(text, status_code=400)
        run = asyncio.ensure_future(self._fire_now(function))
        self._running.add(run)
        run.add_done_callback(self._running.discard)
        return Response(status_code=202)

    def _view(self, function: Function) -> dict[str, Any]:
        is_http = function.trigger.type == HTTP
        url = f"{self._base_url}/{route_text(function, self._prefix)}" if is_http else None
        return {
            "name": function.name,
            "invoke_url_template": url,
            "language": "python",
            "isDisabled": False,
            "config": {"bindings": [dict(binding.properties) for binding in function.bindings]},
        }
