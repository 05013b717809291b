"""One run of the host: load the app, open the hub, serve until told to stop, drain."""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute

from localhost.host.admin import AdminApi
from localhost.host.app import App
from localhost.host.console import print_functions, say
from localhost.host.cors import allow_origins
from localhost.host.custom_headers import add_headers
from localhost.host.dispatcher import FunctionDispatcher
from localhost.host.durable import ClientEndpoints, Dispatcher, Hub
from localhost.host.errors import HostError
from localhost.host.gateway import function_routes, gateway
from localhost.host.invocation import Invoker
from localhost.host.runtime import WorkerRuntime
from localhost.host.schedule_status import FileScheduleStore
from localhost.host.server import Server
from localhost.host.settings import HostSettings
from localhost.host.timers import TimerService, parse_timers

DRAIN_SECONDS = 30
_LOCAL_ADDRESSES = frozenset({"127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104 - shown, not listened on


@dataclass(frozen=True)
class Start:
    """What the command line asks for. `began` is the clock (`perf_counter`) when it was read."""

    settings: HostSettings
    listener: socket.socket
    state_folder: Path
    functions: frozenset[str] = frozenset()
    verbose: bool = False
    ready_file: Path | None = None
    cors_credentials: bool = False
    supervisor: int | None = None
    began: float = 0.0


class Host:
    """Serves one loaded app."""

    def __init__(self, start: Start, runtime: WorkerRuntime, app: App) -> None:
        self._start = start
        self._settings = start.settings
        self._app = app
        host, self._port = start.listener.getsockname()[:2]
        # func shows and hands out localhost, whatever loopback or wildcard address it listens on.
        self._base_url = f"http://{'localhost' if host in _LOCAL_ADDRESSES else host}:{self._port}"
        self._endpoints = ClientEndpoints("", self._base_url, start.settings.durable)
        self._runtime = runtime
        self._invoker = Invoker(runtime, lambda binding: self._endpoints.configuration(binding))
        self._routes = function_routes(app.functions, self._invoker, self._settings)
        self._timers = TimerService(
            parse_timers(app.functions, os.environ, datetime.now(UTC)),
            self._invoker,
            FileScheduleStore(start.state_folder / "timers"),
        )

    async def serve(self) -> None:
        """Run until SIGINT or SIGTERM. Raises HostError if the hub cannot be opened or fails."""
        hub = self._task_hub() if self._app.is_durable else None
        if hub is None:
            await self._serve(None, [])
            return
        self._endpoints = replace(self._endpoints, rpc_address=await hub.open())
        functions = FunctionDispatcher(self._app.functions, self._invoker)
        from localhost.host.client_costs import cheap_clients
        from localhost.host.management import ManagementApi

        async with (
            cheap_clients(self._endpoints),
            _hub_stub(self._endpoints.rpc_address) as stub,
            self._workers() as pool,
        ):
            management = ManagementApi(stub, self._endpoints, functions.knows)
            await self._serve((hub, pool or functions), [management.mount()])

    def _task_hub(self) -> Hub:
        # Apps without durable functions do not pay for these imports.
        from localhost.host.hub_database import HubDatabase
        from localhost.host.task_hub import PersistentHub

        return PersistentHub(self._settings.durable, HubDatabase(os.environ, self._start.state_folder))

    @contextlib.asynccontextmanager
    async def _workers(self) -> AsyncIterator[Dispatcher | None]:
        """The processes that run durable work, if the settings ask for more than this one."""
        if self._settings.worker_processes == 1:
            yield None
            return
        from localhost.host.pool import WorkerPool

        pool = WorkerPool(self._settings.worker_processes, self._worker_arguments())
        try:
            yield pool
        finally:
            await pool.close()

    def _worker_arguments(self) -> list[str]:
        arguments = ["--script-root", str(self._settings.script_root), "--base-url", self._base_url]
        arguments += ["--rpc-address", self._endpoints.rpc_address]
        if self._start.verbose:
            arguments.append("--verbose")
        return [*arguments, "--functions", *sorted(self._start.functions)]

    async def _serve(self, durable: tuple[Hub, Dispatcher] | None, routes: list[BaseRoute]) -> None:
        admin = AdminApi(
            self._app.functions, self._base_url, self._settings.route_prefix, self._timers.fire_now
        )
        application = gateway(self._routes, [admin.mount(), *routes])
        application = add_headers(application, self._settings.custom_headers)
        application = allow_origins(
            application, self._settings.cors, credentials=self._start.cors_credentials
        )
        server = Server(application, on_ready=self._ready, drain_seconds=DRAIN_SECONDS)
        server.stop_on_signals()
        if self._start.supervisor is not None:
            server.stop_on_end_of(self._start.supervisor)
        work = [asyncio.create_task(self._timers.run(), name="timers")]
        if durable:
            work.append(asyncio.create_task(durable[0].run(durable[1]), name="task hub"))
        for task in work:
            task.add_done_callback(server.stop_on_failure)
        await server.serve(sockets=[self._start.listener])
        await self._runtime.end_app()
        self._timers.stop()
        if durable:
            await durable[0].close()
        _, running = await asyncio.wait(work, timeout=DRAIN_SECONDS)
        for task in running:
            say(f"The {task.get_name()} did not end within {DRAIN_SECONDS} s.")
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        _raise_first_failure(work)

    def _ready(self) -> None:
        print_functions(self._app.functions, self._base_url, self._settings.route_prefix, self._app.disabled)
        milliseconds = (time.perf_counter() - self._start.began) * 1000
        say(f"Host started in {milliseconds:.0f} ms: {self._base_url}")
        if self._start.ready_file:
            write_ready_file(self._start.ready_file, self._port)


@contextlib.asynccontextmanager
async def _hub_stub(rpc_address: str) -> AsyncIterator[Any]:
    import grpc
    from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub

    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(rpc_address, options=unlimited) as channel:
        yield TaskHubSidecarServiceStub(channel)  # type: ignore[no-untyped-call]


def _raise_first_failure(work: Sequence[asyncio.Task[None]]) -> None:
    for task in work:
        if not task.cancelled() and (error := task.exception()):
            if isinstance(error, HostError):
                raise error
            raise HostError(f"The {task.get_name()} failed: {error!r}. Start the host again.") from error


def write_ready_file(path: Path, port: int) -> None:
    """Tell whoever started the host its port and process id. A reader never sees half a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps({"port": port, "pid": os.getpid()}), encoding="utf-8")
    partial.replace(path)
