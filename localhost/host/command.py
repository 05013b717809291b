"""`start`: the command line of the host, with the options of `func start`."""

import argparse
import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from localhost.host.errors import HostError, LoadError
from localhost.host.settings import HostSettings, load_settings

if TYPE_CHECKING:
    from localhost.host.host import Start

_DEFAULT_PORT = 7071
# Options of Core Tools that have no meaning here; they are accepted so that scripts written for func work.
_IGNORED_FLAGS = ("--no-build", "--enableAuth", "--enable-json-output", "--python")
_IGNORED_VALUES = ("--timeout", "-t", "--language-worker", "--runtime", "--user-log-level")


def main(argv: Sequence[str]) -> int:
    """Run the host until it is told to stop. Exit code: 0 after a stop, 1 if it could not start or failed."""
    began = time.perf_counter()
    options = _parser().parse_args(argv)
    try:
        return _watch(options, argv) if options.watch else _run(options, began)
    except HostError as exc:
        if isinstance(exc, LoadError) and exc.trace:
            print(exc.trace, end="\n\n", file=sys.stderr)
        print(str(exc), file=sys.stderr, flush=True)
        return 1


def _run(options: argparse.Namespace, began: float) -> int:
    settings = _with_options(load_settings(options.script_root.resolve(), os.environ), options)
    listener = _listener(options, settings)
    # These imports take most of the start-up time; the checks that can fail at once come first.
    from localhost.host.app import load_app
    from localhost.host.console import start_logging
    from localhost.host.host import DRAIN_SECONDS, Host, Start
    from localhost.host.runtime import WorkerRuntime

    start_logging(settings.log_levels, verbose=options.verbose)
    for warning in settings.warnings:
        print(warning, flush=True)
    start = Start(
        settings,
        listener,
        state_folder=(options.state or settings.script_root / ".sluice" / "host").absolute(),
        functions=frozenset(options.functions or ()),
        verbose=options.verbose,
        ready_file=options.ready_file.absolute() if options.ready_file else None,
        cors_credentials=options.cors_credentials,
        supervisor=options.supervisor_fd,
        began=began,
    )
    for name, value in _as_core_tools(start).items():
        os.environ.setdefault(name, value)
    runtime = WorkerRuntime()
    host = Host(start, runtime, load_app(runtime, settings.script_root, start.functions, os.environ))
    print("Worker process started and initialized.", flush=True)
    asyncio.run(host.serve())
    _stop_threads(runtime.stop, DRAIN_SECONDS)
    return 0


def _as_core_tools(start: "Start") -> dict[str, str]:
    """The variables that Core Tools sets, which apps use to find out where they run."""
    return {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "AzureWebJobsScriptRoot": str(start.settings.script_root),
        "FUNCTIONS_CORETOOLS_ENVIRONMENT": "true",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "WEBSITE_HOSTNAME": f"localhost:{start.listener.getsockname()[1]}",
    }


def _stop_threads(stop: Callable[[], None], seconds: float) -> None:
    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    stopping.join(seconds)
    if stopping.is_alive():
        print(
            f"A function still ran {seconds} s after the stop and was cut off.", file=sys.stderr, flush=True
        )
        # A thread cannot be ended from outside, and the interpreter would wait for it.
        os._exit(1)


def _watch(options: argparse.Namespace, argv: Sequence[str]) -> int:
    # A copy: values put into our own environment would outlive a change of local.settings.json.
    settings = _with_options(load_settings(options.script_root.resolve(), dict(os.environ)), options)
    listener = _listener(options, settings)
    from localhost.host.watching import supervise

    arguments = [argument for argument in argv if argument != "--watch"]
    return asyncio.run(supervise(listener, arguments, settings.script_root, settings.watch_files))


def _listener(options: argparse.Namespace, settings: HostSettings) -> socket.socket:
    if options.listen_fd is not None:
        return socket.socket(fileno=options.listen_fd)
    from localhost.host.server import listening_socket

    port = options.port if options.port is not None else settings.local_port or _DEFAULT_PORT
    return listening_socket(options.address, port)


def _with_options(settings: HostSettings, options: argparse.Namespace) -> HostSettings:
    if options.cors is None:
        return settings
    return replace(settings, cors=tuple(origin.strip() for origin in options.cors.split(",")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m localhost start", description="Run a function app locally.")
    parser.add_argument("-p", "--port", type=int, help="port to listen on (default 7071; 0 takes a free one)")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--script-root", type=Path, default=Path(), help="folder of the app")
    parser.add_argument("--functions", nargs="*", help="load only these functions")
    parser.add_argument("--cors", help="origins of web pages that may call the app, with commas between")
    parser.add_argument("--cors-credentials", action="store_true", help="let those pages send cookies")
    parser.add_argument("--watch", action="store_true", help="start again when a file of the app changes")
    parser.add_argument("--verbose", action="store_true", help="show every invocation and more")
    parser.add_argument("--ready-file", type=Path, help="write port and pid here, as JSON, once ready")
    parser.add_argument("--state", type=Path, help="folder for what is kept (default: .sluice/host)")
    for hidden in ("--listen-fd", "--supervisor-fd"):
        parser.add_argument(hidden, type=int, help=argparse.SUPPRESS)
    for flag in _IGNORED_FLAGS:
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    for name in _IGNORED_VALUES:
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser
