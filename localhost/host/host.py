"""One run of the host: load the app, open the hub, serve until told to stop, drain."""

import asyncio
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localhost.host.console import print_functions
from localhost.host.dispatcher import FunctionDispatcher
from localhost.host.durable import ClientEndpoints, Hub
from localhost.host.errors import HostError
from localhost.host.functions import DURABLE_CLIENT, DURABLE_TRIGGERS, Function
from localhost.host.gateway import function_routes, gateway
from localhost.host.invocation import Invoker
from localhost.host.memory_hub import MemoryHub
from localhost.host.runtime import WorkerRuntime
from localhost.host.server import Server
from localhost.host.settings import HostSettings

logger = logging.getLogger("host.startup")

_DRAIN_SECONDS = 30
_LOCAL_ADDRESSES = frozenset({"127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104 - shown, not listened on


@dataclass(frozen=True)
class Start:
    """What the command line asks for."""

    settings: HostSettings
    listener: socket.socket
    functions: frozenset[str] = frozenset()
    ready_file: Path | None = None
    began: float = 0.0


def load_app(runtime: WorkerRuntime, script_root: Path, environ: Mapping[str, str]) -> list[Function]:
    """Make the app's folder the place of its imports and relative paths, as the worker does, and index it."""
    os.chdir(script_root)
    packages = script_root / ".python_packages" / "lib" / "site-packages"
    if packages.is_dir():
        sys.path.insert(0, str(packages))
    sys.path.insert(0, str(script_root))
    runtime.start()
    return runtime.load(Path(environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")).stem)


def is_disabled(function: Function, environ: Mapping[str, str]) -> bool:
    """Whether the setting `AzureWebJobs.<name>.Disabled` switches the function off."""
    names = (f"AzureWebJobs.{function.name}.Disabled", f"AzureWebJobs__{function.name}__Disabled")
    return any(environ.get(name, "").casefold() in ("true", "1") for name in names)


class Host:
    """Serves one loaded app."""

    def __init__(self, start: Start, runtime: WorkerRuntime, functions: list[Function]) -> None:
        self._start = start
        self._runtime = runtime
        self._functions = functions
        host, self._port = start.listener.getsockname()[:2]
        # func shows and hands out localhost, whatever loopback or wildcard address it listens on.
        self._base_url = f"http://{'localhost' if host in _LOCAL_ADDRESSES else host}:{self._port}"

    async def serve(self) -> None:
        """Run until SIGINT or SIGTERM. Raises HostError if the hub cannot be opened or fails."""
        hub = MemoryHub(self._start.settings.durable) if self._is_durable() else None
        rpc_address = await hub.open() if hub else ""
        endpoints = ClientEndpoints(rpc_address, self._base_url, self._start.settings.durable)
        invoker = Invoker(self._runtime, endpoints.configuration)
        routes = function_routes(self._functions, invoker, self._start.settings)
        server = Server(gateway(routes, ()), on_ready=self._ready, drain_seconds=_DRAIN_SECONDS)
        server.stop_on_signals()
        dispatching = asyncio.create_task(self._dispatch(hub, invoker, server)) if hub else None
        try:
            await server.serve(sockets=[self._start.listener])
        finally:
            logger.info("Host is stopping: requests in flight are served, then durable work is written down.")
            if hub and dispatching:
                await hub.close()
                await asyncio.gather(dispatching, return_exceptions=True)
        if dispatching and not dispatching.cancelled() and (error := dispatching.exception()):
            raise HostError(
                f"The task hub failed: {error}. Start the host again; durable state is kept."
            ) from error

    async def _dispatch(self, hub: Hub, invoker: Invoker, server: Server) -> None:
        durable = self._start.settings.durable
        dispatcher = FunctionDispatcher(
            self._functions,
            invoker,
            activities=durable.max_concurrent_activities,
            orchestrations=durable.max_concurrent_orchestrations,
        )
        try:
            await hub.run(dispatcher)
        finally:
            server.should_exit = True

    def _is_durable(self) -> bool:
        return any(
            binding.type in DURABLE_TRIGGERS or binding.type == DURABLE_CLIENT
            for function in self._functions
            for binding in function.bindings
        )

    def _ready(self) -> None:
        milliseconds = (time.perf_counter() - self._start.began) * 1000
        print_functions(self._functions, self._base_url, self._start.settings.route_prefix, ())
        logger.info("Host started in %.0f ms: %s", milliseconds, self._base_url)
        if self._start.ready_file:
            write_ready_file(self._start.ready_file, self._port)


def write_ready_file(path: Path, port: int) -> None:
    """Tell whoever started the host its port and process id. A reader never sees half a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps({"port": port, "pid": os.getpid()}), encoding="utf-8")
    partial.replace(path)
