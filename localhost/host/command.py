"""`start`: the command line of the host, with the options of `func start`."""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from localhost.host.errors import HostError, LoadError
from localhost.host.settings import load_settings

_DEFAULT_PORT = 7071
# Options of Core Tools that have no meaning here; they are accepted so that scripts written for func work.
_IGNORED_FLAGS = ("--no-build", "--enableAuth", "--dotnet-isolated-debug", "--enable-json-output", "--python")
_IGNORED_VALUES = (
    "--timeout",
    "-t",
    "--language-worker",
    "--runtime",
    "--user-log-level",
    "--json-output-file",
)


def main(argv: list[str]) -> int:
    """Run the host until it is told to stop. Exit code: 0 after a stop, 1 if it could not start or failed."""
    began = time.perf_counter()
    options = _parser().parse_args(argv)
    try:
        _run(options, began)
    except HostError as exc:
        if isinstance(exc, LoadError) and exc.trace:
            print(exc.trace, file=sys.stderr)
        print(str(exc), file=sys.stderr, flush=True)
        return 1
    return 0


def _run(options: argparse.Namespace, began: float) -> None:
    settings = load_settings(options.script_root.resolve(), os.environ)
    port = options.port if options.port is not None else settings.local_port or _DEFAULT_PORT
    # The heavy imports come after the checks that can fail at once.
    from localhost.host.server import listening_socket

    listener = listening_socket(options.address, port)
    from localhost.host.console import start_logging
    from localhost.host.host import Host, Start, load_app
    from localhost.host.runtime import WorkerRuntime

    start_logging(settings.log_levels, verbose=options.verbose)
    for warning in settings.warnings:
        print(warning, flush=True)
    runtime = WorkerRuntime()
    functions = load_app(runtime, settings.script_root, os.environ)
    print("Worker process started and initialized.", flush=True)
    start = Start(settings, listener, frozenset(options.functions or ()), options.ready_file, began)
    try:
        asyncio.run(Host(start, runtime, functions).serve())
    finally:
        runtime.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m localhost start", description="Run a function app locally."
    )
    parser.add_argument("-p", "--port", type=int, help="port to listen on (default 7071; 0 takes a free one)")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument(
        "--script-root",
        "--prefix",
        type=Path,
        default=Path(),
        help="folder of the function app (default: this one)",
    )
    parser.add_argument("--functions", nargs="*", help="load only these functions")
    parser.add_argument("--ready-file", type=Path, help="write port and pid here, as JSON, once ready")
    parser.add_argument("--verbose", action="store_true", help="show every invocation and more")
    for flag in _IGNORED_FLAGS:
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    for flag in _IGNORED_VALUES:
        parser.add_argument(flag, help=argparse.SUPPRESS)
    return parser
