"""Prefect: flows and tasks, its server on the same PostgreSQL.

    python -m benchmarks.peers.prefect_work < place-and-amounts.json

Flows are executed by the process that starts them. Results of tasks are persisted, because without them a
broken flow could not go on. A chunk is two tasks, not a flow of its own, which would be ten times slower.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg_pool

from benchmarks.peers import sink, work
from benchmarks.peers.driving import Place, drive
from benchmarks.peers.workers import NotReady, wait_until

CONCURRENCY = 10
POLL_SECONDS = 1
_PAUSE_SECONDS = 3600
_SERVER_SECONDS = 180


class Prefect:
    """The work as flows and tasks. Prefect reads its settings when it is imported, so that comes late."""

    def __init__(self, runner: asyncio.Runner, pool: psycopg_pool.AsyncConnectionPool) -> None:
        from prefect import flow, task
        from prefect.flow_runs import pause_flow_run

        self._runner = runner
        self._waiting: dict[str, Any] = {}
        self._flows: list[asyncio.Task[None]] = []

        async def push(unit: str, payload: str) -> None:
            async with pool.connection() as connection:
                await connection.execute(sink.PUSH, [unit, unit, payload])

        fetch_task = task(_fetch, name="fetch")
        transform_task = task(_transform, name="transform")
        push_task = task(push, name="push")

        async def run(unit: str) -> None:
            await push_task(unit, work.payload(await transform_task(await fetch_task(unit))))

        async def wait(unit: str) -> None:
            priced = await transform_task(await fetch_task(unit))
            await pause_flow_run(timeout=_PAUSE_SECONDS, poll_interval=POLL_SECONDS)
            await push_task(unit, work.payload(priced))

        async def parent(group: str, count: int) -> None:
            limit = asyncio.Semaphore(CONCURRENCY)

            async def chunk(record: Any) -> None:
                async with limit:
                    await push_task(record["unit"], work.payload(await transform_task([record])))

            records = [work.record(work.chunk_unit(group, number), number) for number in range(count)]
            await asyncio.gather(*(chunk(record) for record in records))

        self._run, self._wait, self._parent = (flow(each, name=each.__name__) for each in (run, wait, parent))

    def start(self, unit: str) -> Any:
        """The flow run's row."""
        return self._runner.run(self._create(self._run, unit))

    def finish(self, handle: Any) -> None:
        """Executes the flow."""
        self._runner.run(self._execute(self._run, handle))

    def run_all(self, units: Sequence[str]) -> None:
        """Some flows at a time."""
        self._runner.run(self._run_all(units))

    def fan_out(self, group: str, count: int) -> None:
        """One flow."""
        self._runner.run(self._parent(group, count))

    def suspend_all(self, units: Sequence[str]) -> None:
        """Flows that poll whether somebody has resumed them. The loop must run for that: see `signal`."""
        self._runner.run(self._suspend_all(units))

    def signal(self, unit: str) -> None:
        """Resumes one, and lets the loop run until it has ended."""
        self._runner.run(self._resume(unit))

    def processes(self) -> list[int]:
        """This one; the server has about as much again."""
        return [os.getpid()]

    async def _create(self, flow: Any, unit: str) -> Any:
        from prefect import get_client

        async with get_client() as client:
            return await client.create_flow_run(flow, parameters={"unit": unit})

    async def _execute(self, flow: Any, flow_run: Any) -> None:
        from prefect.flow_engine import run_flow_async

        await run_flow_async(flow, flow_run=flow_run, parameters=flow_run.parameters)

    async def _run_all(self, units: Sequence[str]) -> None:
        limit = asyncio.Semaphore(CONCURRENCY)

        async def one(unit: str) -> None:
            async with limit:
                await self._run(unit)

        await asyncio.gather(*(one(unit) for unit in units))

    async def _suspend_all(self, units: Sequence[str]) -> None:
        from prefect import get_client

        for unit in units:
            flow_run = await self._create(self._wait, unit)
            self._waiting[unit] = flow_run.id, asyncio.create_task(self._execute(self._wait, flow_run))
        async with get_client() as client:
            for flow_run_id, _ in self._waiting.values():
                while not (await client.read_flow_run(flow_run_id)).state.is_paused():  # noqa: ASYNC110
                    await asyncio.sleep(0.2)

    async def _resume(self, unit: str) -> None:
        from prefect.flow_runs import resume_flow_run

        flow_run_id, execution = self._waiting.pop(unit)
        await resume_flow_run(flow_run_id)
        await execution


async def _fetch(unit: str) -> list[work.Line]:
    return work.fetch(unit)


async def _transform(lines: Sequence[work.Line]) -> list[work.Line]:
    return work.transform(lines)


@contextmanager
def opening(place: Place) -> Iterator[Prefect]:
    """The server, then everything else."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    os.environ.update(_settings(place, port))
    with _server(port, place.folder), asyncio.Runner() as runner:
        pool = runner.run(_pool(place))
        yield Prefect(runner, pool)
        runner.run(pool.close())


def _settings(place: Place, port: int) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(place.folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": place.database_url.replace("://", "+asyncpg://", 1),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def _server(port: int, folder: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    path = folder / "server.log"
    with path.open("wb") as log:
        process = subprocess.Popen([*command, "--no-ui"], stdout=log, stderr=log)
    try:
        wait_until(lambda: _healthy(process, port, path), "Prefect's server answers", within=_SERVER_SECONDS)
        yield
    finally:
        process.terminate()
        process.wait()


def _healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    if process.poll() is not None:
        raise NotReady(f"Prefect's server ended: {log.read_text(errors='replace')[-1000:]}")
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def _pool(place: Place) -> psycopg_pool.AsyncConnectionPool:
    pool = psycopg_pool.AsyncConnectionPool(place.sink_url, open=False, kwargs={"autocommit": True})
    await pool.open(wait=True)
    return pool


if __name__ == "__main__":
    drive(opening)
