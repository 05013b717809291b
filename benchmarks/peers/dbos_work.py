"""DBOS: workflows and steps in PostgreSQL.

    python -m benchmarks.peers.dbos_work < place-and-amounts.json

Direct: runs are executed by the process that starts them. With the variant `queue` two processes take them
from a queue, polling it every 0.1 s.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dbos import DBOS
from psycopg_pool import ConnectionPool

from benchmarks.peers import sink, work
from benchmarks.peers.driving import Place, drive
from benchmarks.peers.workers import as_worker, wait_until, worker_processes

QUEUE = "bench"
POLL_SECONDS = 0.1
WORKERS = 2
WORKER_CONCURRENCY = 25
RESULT_POLL_SECONDS = 0.01
SINK_CONNECTIONS = 10


@dataclass(frozen=True)
class Work:
    """The workflows, registered, and how one is begun: here, or by way of the queue."""

    run: Any
    parent: Any
    wait: Any
    begin: Callable[..., Any]


def define(sink_url: str, *, queued: bool) -> Work:
    """Register the work as workflows and steps. DBOS marks functions, so methods will not do."""
    # Not a connection a thread: it has many threads, and the server has a hundred connections for all.
    pool = ConnectionPool(sink_url, max_size=SINK_CONNECTIONS, kwargs={"autocommit": True}, open=True)

    def begin(workflow: Any, *arguments: Any) -> Any:
        return (
            DBOS.enqueue_workflow(QUEUE, workflow, *arguments)
            if queued
            else DBOS.start_workflow(workflow, *arguments)
        )

    def push(unit: str, payload: str) -> None:
        with pool.connection() as connection:
            connection.execute(sink.PUSH, [unit, unit, payload])

    fetch_step = DBOS.step(name="fetch")(work.fetch)
    transform_step = DBOS.step(name="transform")(work.transform)
    push_step = DBOS.step(name="push")(push)

    def run(unit: str) -> None:
        push_step(unit, work.payload(transform_step(fetch_step(unit))))

    def chunk(record: dict[str, Any]) -> None:
        push_step(record["unit"], work.payload(transform_step([record])))

    chunk_workflow = DBOS.workflow(name="chunk")(chunk)

    def parent(group: str, count: int) -> None:
        units = [work.chunk_unit(group, number) for number in range(count)]
        handles = [begin(chunk_workflow, work.record(unit, n)) for n, unit in enumerate(units)]
        for handle in handles:
            handle.get_result(polling_interval_sec=RESULT_POLL_SECONDS)

    def wait(unit: str) -> None:
        priced = transform_step(fetch_step(unit))
        DBOS.recv("go", timeout_seconds=3600)
        push_step(unit, work.payload(priced))

    workflow = DBOS.workflow
    return Work(
        workflow(name="run")(run), workflow(name="parent")(parent), workflow(name="wait")(wait), begin
    )


class Dbos:
    """A launched DBOS."""

    def __init__(self, work_: Work, workers: Sequence[int]) -> None:
        self._work = work_
        self._workers = workers
        self._waiting: dict[str, Any] = {}

    def start(self, unit: str) -> Any:
        """Returns when the workflow's row is committed."""
        return self._work.begin(self._work.run, unit)

    def finish(self, handle: Any) -> None:
        """The workflow's result."""
        handle.get_result(polling_interval_sec=RESULT_POLL_SECONDS)

    def run_all(self, units: Sequence[str]) -> None:
        """All at once, from one caller: starting takes a fraction of running."""
        for handle in [self.start(unit) for unit in units]:
            self.finish(handle)

    def fan_out(self, group: str, count: int) -> None:
        """A workflow that starts child workflows and waits for each."""
        self.finish(self._work.begin(self._work.parent, group, count))

    def suspend_all(self, units: Sequence[str]) -> None:
        """Workflows in `recv`."""
        for unit in units:
            self._waiting[unit] = self._work.begin(self._work.wait, unit)
        ids = [handle.workflow_id for handle in self._waiting.values()]
        wait_until(lambda: all(_waits(each) for each in ids), "all workflows wait", within=300)

    def signal(self, unit: str) -> None:
        """A message to the workflow."""
        DBOS.send(self._waiting[unit].workflow_id, "go", "go")

    def processes(self) -> list[int]:
        """This process, or those that take from the queue."""
        return list(self._workers) or [os.getpid()]


def _waits(workflow_id: str) -> bool:
    """Whether the two steps before `recv` have been done."""
    return len(DBOS.list_workflow_steps(workflow_id)) >= 2


def launch(place: Place, *, listening: bool) -> Work:
    """DBOS in this process. `listening`: it executes what is in the queue."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": place.database_url,
            "application_version": "bench",
            "executor_id": f"bench-{os.getpid()}",
            "log_level": "WARNING",
            "notification_coalesce_sec": 0.001,
            # Each workflow that waits holds a thread.
            "max_executor_threads": 1200,
        }
    )
    work_ = define(place.sink_url, queued=place.variant == "queue")
    DBOS.listen_queues([QUEUE] if listening else [])
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=WORKER_CONCURRENCY, polling_interval_sec=POLL_SECONDS)
    return work_


@contextmanager
def opening(place: Place) -> Iterator[Dbos]:
    """DBOS, and its worker processes where there is a queue."""
    work_ = launch(place, listening=False)
    arguments = [""] * (WORKERS if place.variant == "queue" else 0)
    try:
        with worker_processes("benchmarks.peers.dbos_work", place, arguments) as workers:
            yield Dbos(work_, workers)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        worker_place, worker_ready, _ = as_worker()
        launch(worker_place, listening=True)
        worker_ready.touch()
        signal.pause()
    else:
        drive(opening)
