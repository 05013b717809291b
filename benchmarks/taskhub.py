"""The task hub against a floor: the fewest commits that keep the same work durable, by hand with psycopg.

    python -m benchmarks.taskhub [--rounds N] [--profile]

Functions are trivial and run in this process, so the numbers are the hub's and the SDK's own cost. All writes
are durable: PostgreSQL runs with its defaults for fsync and synchronous commit. Rounds take turns with the
floor, so that a busy machine is unfair to both alike.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psutil
import psycopg
from durabletask import task
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub

from localhost.services.stack import Stack
from localhost.taskhub.hub import TaskHub
from localhost.taskhub.options import HubOptions
from tests.host.process import HostProcess
from tests.support.sdk_dispatcher import SdkDispatcher
from tests.support.services import fresh_database

REPOSITORY = Path(__file__).resolve().parents[1]
APP = REPOSITORY / "benchmarks" / "apps" / "durable"
PAGE = 50
SINGLES = 200
SIGNALS = 200
WAITING = 10_000
IDLE_SECONDS = 10.0
MEGABYTE = 1 << 20

type Steps = Generator[task.Task[Any], Any, Any]
type Context = task.OrchestrationContext


class Functions:
    """What the benchmark runs. `stepped` gets the times at which activities started."""

    def __init__(self) -> None:
        self.stepped: list[float] = []

    def step(self, _: task.ActivityContext, value: int) -> int:
        """A trivial activity."""
        self.stepped.append(time.perf_counter())
        return value + 1


def one(context: Context, value: int) -> Steps:
    """One activity."""
    return (yield context.call_activity("step", input=value))


def page(context: Context, count: int) -> Steps:
    """Some sub-orchestrations."""
    results: list[int] = yield task.when_all(
        [context.call_sub_orchestrator(one, input=number) for number in range(count)]
    )
    return sum(results)


def pages(context: Context, count: int) -> Steps:
    """Many sub-orchestrations, page by page."""
    results: list[int] = yield task.when_all(
        [context.call_sub_orchestrator(page, input=PAGE) for _ in range(count // PAGE)]
    )
    return sum(results)


def waits(context: Context, _: Any) -> Steps:
    """An event, then an activity."""
    yield context.wait_for_external_event("go")
    yield context.call_activity("step", input=0)


class Runner:
    """An open hub with its functions, and a client."""

    def __init__(self, hub: TaskHub, stub: Any, functions: Functions) -> None:
        self.hub = hub
        self._stub = stub
        self.functions = functions

    async def start(self, name: str, value: Any, instance_id: str = "") -> str:
        """Start an orchestration; its id."""
        request = pb.CreateInstanceRequest(name=name, instanceId=instance_id or uuid4().hex)
        request.input.value = json.dumps(value)
        started: pb.CreateInstanceResponse = await self._stub.StartInstance(request)
        return started.instanceId

    async def finish(self, instance_id: str) -> pb.OrchestrationState:
        """Wait for an orchestration; its state."""
        request = pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
        response = await self._stub.WaitForInstanceCompletion(request)
        state: pb.OrchestrationState = response.orchestrationState
        assert state.orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED, state
        return state

    async def signal(self, instance_id: str) -> None:
        """Raise the event that `waits` waits for."""
        await self._stub.RaiseEvent(pb.RaiseEventRequest(instanceId=instance_id, name="go"))


@asynccontextmanager
async def runner(url: str, *, apart: bool) -> AsyncIterator[Runner]:
    """A new hub. `apart`: on a thread of its own with functions on a thread pool, as in the embedded host."""
    functions = Functions()
    with ThreadPoolExecutor(8) as threads:
        dispatcher = SdkDispatcher(threads if apart else None)
        dispatcher.worker.add_activity(functions.step)
        for orchestrator in (one, page, pages, waits):
            dispatcher.worker.add_orchestrator(orchestrator)
        hub = await TaskHub.open(url, uuid4().hex, dispatcher, HubOptions(own_thread=apart))
        async with grpc.aio.insecure_channel(await hub.serve()) as channel:
            yield Runner(hub, TaskHubSidecarServiceStub(channel), functions)  # type: ignore[no-untyped-call]
        await hub.close()


async def tree_rate(run: Runner, count: int) -> float:
    """Sub-orchestrations per second, from start to the parent's result."""
    began = time.perf_counter()
    state = await run.finish(await run.start("pages", count))
    seconds = time.perf_counter() - began
    assert state.output.value == str(count // PAGE * (PAGE * (PAGE + 1) // 2)), state.output.value
    return count / seconds


async def single_times(run: Runner) -> list[float]:
    """Seconds from start to result of one activity in one orchestration, one at a time."""
    times = []
    for _ in range(SINGLES):
        began = time.perf_counter()
        await run.finish(await run.start("one", 1))
        times.append(time.perf_counter() - began)
    return times


async def signal_times(run: Runner) -> list[float]:
    """Seconds from raising an event to the start of the activity that follows it, one at a time."""
    ids = await asyncio.gather(*(run.start("waits", None) for _ in range(SIGNALS)))
    times = []
    for instance_id in ids:
        run.functions.stepped.clear()
        began = time.perf_counter()
        await run.signal(instance_id)
        await run.finish(instance_id)
        times.append(run.functions.stepped[0] - began)
    return times


def floor_rate(connection: psycopg.Connection, count: int) -> float:
    """Units per second: a row that says the work has begun, committed, then its result, committed."""
    began = time.perf_counter()
    for number in range(count):
        key = f"{began}-{number}"
        connection.execute("INSERT INTO floor (id, input) VALUES (%s, %s)", [key, str(number)])
        connection.execute("UPDATE floor SET output = %s WHERE id = %s", [str(number + 1), key])
    return count / (time.perf_counter() - began)


def floor_times(connection: psycopg.Connection) -> list[float]:
    """Seconds for one such unit."""
    return [1 / floor_rate(connection, 1) for _ in range(SINGLES)]


async def throughput(url: str, rounds: int) -> None:
    """Trees of two sizes and single orchestrations, in both ways of hosting, and the floor."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE floor (id text PRIMARY KEY, input text, output text)")
        floor: dict[str, list[float]] = {"rate": [], "time": []}
        for apart in (False, True):
            await _hosting(url, connection, rounds, floor, apart=apart)


async def _hosting(
    url: str, connection: psycopg.Connection, rounds: int, floor: dict[str, list[float]], *, apart: bool
) -> None:
    small, large, singles, signals = [], [], [], []
    async with runner(url, apart=apart) as run:
        await tree_rate(run, 100)
        for _ in range(rounds):
            floor["rate"].append(await asyncio.to_thread(floor_rate, connection, 1000))
            floor["time"].append(statistics.median(await asyncio.to_thread(floor_times, connection)))
            small.append(await tree_rate(run, 1000))
            large.append(await tree_rate(run, 5000))
            singles.append(await single_times(run))
            signals.append(await signal_times(run))
    bare, bare_time = statistics.median(floor["rate"]), statistics.median(floor["time"])
    rate, rate_large = statistics.median(small), statistics.median(large)
    median = statistics.median(statistics.median(times) for times in singles)
    p50 = statistics.median(statistics.median(times) for times in signals)
    p95 = statistics.median(statistics.quantiles(times, n=20)[-1] for times in signals)
    print(f"{'own thread, thread pool' if apart else 'one loop'}:")
    for count, rates in ((1000, small), (5000, large)):
        middle, spread = statistics.median(rates), f"({min(rates):,.0f}-{max(rates):,.0f})"
        print(f"  {count:,} sub-orchestrations  {middle:,.0f}/s {spread}, {middle / bare:.1f} of the floor")
    print(f"  5,000 cost {5 * rate / rate_large:.2f} times what 1,000 cost")
    print(f"  one activity, start to end  {median * 1000:.1f} ms, {median / bare_time:.1f} times the floor")
    print(f"  event to next activity  median {p50 * 1000:.1f} ms, p95 {p95 * 1000:.1f} ms")
    print(f"  floor, two commits a unit  {bare:,.0f}/s, {bare_time * 1000:.2f} ms a unit", flush=True)


async def waiting(url: str) -> None:
    """Memory and processor time of orchestrations that only wait."""
    process = psutil.Process()
    async with runner(url, apart=True) as run:
        empty = process.memory_info().rss
        limit = asyncio.Semaphore(100)

        async def begin() -> None:
            async with limit:
                await run.start("waits", {"week": "2026-W47", "site": "north"})

        await asyncio.gather(*(begin() for _ in range(WAITING)))
        await _all_wait(run)
        full = process.memory_info().rss
        await asyncio.sleep(1)
        before = process.cpu_times()
        await asyncio.sleep(IDLE_SECONDS)
        after = process.cpu_times()
    used = after.user - before.user + after.system - before.system
    total, without = full / MEGABYTE, empty / MEGABYTE
    print(f"{WAITING:,} waiting orchestrations: {total:.0f} MB in all, {without:.0f} MB without them")
    print(f"idle with them: {used / IDLE_SECONDS * 100:.2f} % of one processor", flush=True)


async def _all_wait(run: Runner) -> None:
    registry = run.hub.core.registry
    while any(instance.sequence == 0 for _, instance in list(registry.items())):  # noqa: ASYNC110
        await asyncio.sleep(0.1)


def whole_host(url: str, rounds: int) -> None:
    """The embedded host with a function app, started over HTTP, with one and with two worker processes."""
    for processes in (1, 2):
        environment = {"LOCALHOST_TASK_HUB_URL": url, "FUNCTIONS_WORKER_PROCESS_COUNT": str(processes)}
        with (
            tempfile.TemporaryDirectory() as folder,
            HostProcess(APP, Path(folder), environment=environment) as host,
        ):
            host.client.timeout = 300
            _host_rate(host, "pages", 500)
            small = [_host_rate(host, "pages", 1000) for _ in range(rounds)]
            large = [_host_rate(host, "pages", 5000) for _ in range(rounds)]
            single = statistics.median(_host_times(host))
        print(f"whole host, {processes} worker process{'es' if processes > 1 else ''}:")
        for count, rates in ((1000, small), (5000, large)):
            spread = f"({min(rates):,.0f}-{max(rates):,.0f})"
            print(f"  {count:,} sub-orchestrations  {statistics.median(rates):,.0f}/s {spread}")
        print(f"  one activity, HTTP request to answer  median {single * 1000:.1f} ms", flush=True)


def _host_rate(host: HostProcess, name: str, value: int) -> float:
    began = time.perf_counter()
    answer = host.client.post(f"/api/run/{name}/{value}")
    seconds = time.perf_counter() - began
    expected = value // PAGE * (PAGE * (PAGE + 1) // 2) if name == "pages" else value + 1
    assert answer.json() == expected, answer.text
    return value / seconds


def _host_times(host: HostProcess) -> list[float]:
    """Seconds from request to answer of one activity in one orchestration, one at a time."""
    url = host.client.base_url
    # The plainest of clients: its own time counts as the host's.
    connection = HTTPConnection(url.host, url.port)
    times = []
    for _ in range(SINGLES):
        began = time.perf_counter()
        connection.request("POST", "/api/run/one/1")
        answer = connection.getresponse().read()
        times.append(time.perf_counter() - began)
        assert answer == b"2", answer
    connection.close()
    return times


async def _profiled(url: str) -> None:
    async with runner(url, apart=False) as run:
        await tree_rate(run, 1000)
        profile = cProfile.Profile()
        with profile:
            await tree_rate(run, 2000)
    print_profile(profile, 2000)


def print_profile(profile: cProfile.Profile, count: int) -> None:
    """Own time by package, in microseconds a sub-orchestration. Profiling itself makes all of it slower."""
    groups: dict[str, float] = {}
    for (path, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        groups[_package(path, name)] = groups.get(_package(path, name), 0.0) + own
    total = sum(groups.values())
    for package, seconds in sorted(groups.items(), key=lambda item: -item[1])[:12]:
        print(f"  {package:<28}{seconds / count * 1e6:7.0f} us  {seconds / total * 100:4.1f} %")


def _package(path: str, name: str) -> str:
    known = ("localhost/taskhub", "durabletask", "asyncpg", "asyncio", "grpc", "protobuf", "json", "logging")
    for package in known:
        if f"/{package}/" in path:
            return package
    return f"built in: {name}"[:28] if path == "~" else Path(path).name


def _with_database(work: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        stack = Stack(REPOSITORY, Path(folder))
        stack.postgres.start(lambda _text: None)
        try:
            with fresh_database(stack) as database:
                work(database.owner_url.replace("+psycopg", ""))
        finally:
            stack.postgres.stop()


def main(argv: list[str]) -> int:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(prog="benchmarks taskhub", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure each number")
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    options = parser.parse_args(argv)

    def work(url: str) -> None:
        if options.profile:
            asyncio.run(_profiled(url))
            return
        asyncio.run(waiting(url))
        asyncio.run(throughput(url, options.rounds))
        whole_host(url, options.rounds)

    _with_database(work)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
