"""What the host prints: the lines that `func start` prints, on standard output, so that tools find them."""

import logging
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from localhost.host.functions import HTTP, SUPPORTED_TRIGGERS, Function
from localhost.host.routes import http_methods, route_text

# .NET's level names in host.json and in `--user-log-level`.
_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}
_CHATTY = (
    "asyncio",
    "azure.core",
    "azure.durable_functions",
    "azure.identity",
    "durabletask",
    "durabletask-worker",
    "grpc",
    "uvicorn",
)


class _LineFormatter(logging.Formatter):
    """`[2026-11-20T23:43:53.123Z] text`, in UTC, as func prints it."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("[%(asctime)s] %(message)s")
        self.converter = time.gmtime


def start_logging(levels: Mapping[str, str], *, verbose: bool) -> None:
    """Send all logging to standard output at the level of host.json's `logging.logLevel`."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_LineFormatter())
    default = _LEVELS.get(
        str(levels.get("Function", levels.get("default", "information"))).casefold(), logging.INFO
    )
    logging.basicConfig(level=default, handlers=[handler], force=True)
    logging.getLogger("host").setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)


def say(text: str) -> None:
    """Print a line of the host itself, whatever the app does to logging."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    print(f"[{now}] {text}", flush=True)


def print_functions(
    functions: Iterable[Function], base_url: str, prefix: str, disabled: Iterable[str]
) -> None:
    """The list of functions: HTTP first, each with methods and URL, the others with their trigger."""
    http = sorted((f for f in functions if f.trigger.type == HTTP), key=lambda f: f.name.casefold())
    others = sorted((f for f in functions if f.trigger.type != HTTP), key=lambda f: f.name.casefold())
    lines = ["", "Functions:", ""] if http or others else ["", "No functions were found in this app.", ""]
    for function in http:
        methods = f"[{','.join(http_methods(function))}] " if http_methods(function) else ""
        lines += [f"\t{function.name}: {methods}{base_url}/{route_text(function, prefix)}", ""]
    for function in others:
        lines += [f"\t{function.name}: {function.trigger.type}", ""]
    lines += [f"\tFunction {name} is disabled." for name in disabled]
    lines += [_unsupported(function) for function in (*http, *others) if function.unsupported]
    print(*lines, "For detailed output, run with --verbose flag.", sep="\n", flush=True)


def _unsupported(function: Function) -> str:
    names = ", ".join(function.unsupported)
    what = "trigger" if function.trigger.type not in SUPPORTED_TRIGGERS else "bindings"
    return f"\tFunction {function.name} will not run: this host does not serve its {what} ({names})."
