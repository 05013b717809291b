"""A worker process: the app loaded once more, running the durable work items that the host sends."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from localhost.host.app import load_app
from localhost.host.client_costs import cheap_clients
from localhost.host.console import start_logging
from localhost.host.dispatcher import FunctionDispatcher
from localhost.host.durable import ActivityItem, ClientEndpoints
from localhost.host.errors import HostError
from localhost.host.frames import read_frame, write_frame
from localhost.host.invocation import Invoker
from localhost.host.runtime import WorkerRuntime
from localhost.host.settings import load_settings


def main(argv: Sequence[str]) -> int:
    """Work until the host closes the socket. Exit code: 0 then, 1 if the app does not load."""
    # Ctrl-C at the terminal is the host's business; it closes the socket when its own work is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = _parser().parse_args(argv)
    runtime = WorkerRuntime()
    try:
        settings = load_settings(options.script_root, os.environ)
        start_logging(settings.log_levels, verbose=options.verbose)
        app = load_app(runtime, settings.script_root, frozenset(options.functions), os.environ)
    except HostError as exc:
        print(str(exc), file=sys.stderr, flush=True)
        return 1
    endpoints = ClientEndpoints(options.rpc_address, options.base_url, settings.durable)
    dispatcher = FunctionDispatcher(app.functions, Invoker(runtime, endpoints.configuration))
    asyncio.run(_work(dispatcher, endpoints, socket.socket(fileno=options.socket_fd)))
    runtime.stop()
    return 0


async def _work(
    dispatcher: FunctionDispatcher, endpoints: ClientEndpoints, connection: socket.socket
) -> None:
    reader, writer = await asyncio.open_connection(sock=connection)
    running: set[asyncio.Task[None]] = set()
    async with cheap_clients(endpoints):
        while (message := await read_frame(reader)) is not None:
            task = asyncio.create_task(_answer(dispatcher, writer, message))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    writer.close()
    await writer.wait_closed()


async def _answer(
    dispatcher: FunctionDispatcher, writer: asyncio.StreamWriter, message: tuple[Any, ...]
) -> None:
    number, kind, *arguments = message
    if kind == "activity":
        outcome = await dispatcher.run_activity(ActivityItem(*arguments))
        write_frame(writer, (number, outcome.result, outcome.failure))
    elif kind == "entity":
        write_frame(writer, (number, await dispatcher.run_entity_batch(*arguments)))
    else:
        write_frame(writer, (number, await dispatcher.orchestrate(*arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--script-root", type=Path, required=True)
    parser.add_argument("--rpc-address", required=True)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--functions", nargs="*", default=[])
    parser.add_argument("--verbose", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
