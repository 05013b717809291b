"""What the embedded host adds to an HTTP request, against bare Starlette on the same server.

    python -m benchmarks.http

Prints start-up time, latency one at a time, requests per second on 32 connections, and idle CPU. Every number
is the median of several rounds; the servers take turns, so that a busy machine is unfair to both alike.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
APP = REPOSITORY / "tests" / "host" / "apps" / "http"
ROUNDS = 5
ONE_BY_ONE = 1000
TOGETHER = 4000
CONNECTIONS = 32
IDLE_SECONDS = 5.0

_PEER = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def hello(request):
    return PlainTextResponse("")

def hello_sync(request):
    return PlainTextResponse("")

routes = [Route("/v1/nap/0", hello), Route("/v1/status/200", hello_sync)]
app = Starlette(routes=routes)
quiet = {"access_log": False, "log_level": "warning"}
uvicorn.run(app, port=int(sys.argv[1]), http="httptools", loop="asyncio", **quiet)
"""


@contextmanager
def host(folder: Path) -> Iterator[tuple[int, int]]:
    """The embedded host with the app of HTTP triggers: port and process id."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "localhost", "start", "--port", "0", "--script-root", str(APP)]
    options = ["--ready-file", str(ready), "--state", str(folder / "state")]
    process = subprocess.Popen([*command, *options], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    try:
        while not ready.exists():
            time.sleep(0.005)
        yield json.loads(ready.read_text())["port"], process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def peer(port: int) -> Iterator[int]:
    """Bare Starlette on uvicorn."""
    process = subprocess.Popen([sys.executable, "-c", _PEER, str(port)])
    try:
        asyncio.run(_until_open(port))
        yield port
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


async def _until_open(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


async def _requests(port: int, path: str, count: int) -> list[float]:
    """Send `count` requests on one connection; the seconds that each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        times.append(time.perf_counter() - began)
    writer.close()
    return times


async def _rate(port: int, path: str) -> float:
    began = time.perf_counter()
    await asyncio.gather(*(_requests(port, path, TOGETHER // CONNECTIONS) for _ in range(CONNECTIONS)))
    return TOGETHER / (time.perf_counter() - began)


def _measure(port: int, path: str) -> tuple[float, float]:
    times = asyncio.run(_requests(port, path, ONE_BY_ONE))
    return statistics.median(times) * 1000, asyncio.run(_rate(port, path))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _idle_percent(pid: int) -> float:
    before = _cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)
    return (_cpu_seconds(pid) - before) / IDLE_SECONDS * 100


def _start_seconds(folder: Path) -> float:
    began = time.perf_counter()
    with host(folder) as (port, _):
        asyncio.run(_requests(port, "/v1/status/200", 1))
        return time.perf_counter() - began


def main() -> int:
    """Run all measurements and print them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts = [_start_seconds(folder) for _ in range(ROUNDS)]
        print(f"start to first answer: {statistics.median(starts):.2f} s (longest {max(starts):.2f} s)")
        with host(folder) as (port, pid), peer(_free_port()) as other:
            print(f"idle CPU: {_idle_percent(pid):.1f} %")
            for kind, path in (("async", "/v1/nap/0"), ("sync", "/v1/status/200")):
                rounds = [(_measure(port, path), _measure(other, path)) for _ in range(ROUNDS)]
                own, bare = ([round[side] for round in rounds] for side in (0, 1))
                _print_row(kind, own, bare)
    return 0


def _print_row(kind: str, own: list[tuple[float, float]], bare: list[tuple[float, float]]) -> None:
    latency, rate = (statistics.median(values) for values in zip(*own, strict=True))
    bare_latency, bare_rate = (statistics.median(values) for values in zip(*bare, strict=True))
    print(
        f"{kind:<6} one by one {latency:.2f} ms (Starlette {bare_latency:.2f} ms, overhead "
        f"{latency - bare_latency:.2f} ms); {CONNECTIONS} connections {rate:,.0f}/s "
        f"(Starlette {bare_rate:,.0f}/s, ratio {rate / bare_rate:.2f})"
    )


if __name__ == "__main__":
    sys.exit(main())
