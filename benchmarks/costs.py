"""What chunks cost in Azure, and which limit is met first: `python3 dev.py bench costs [--chunks-a-day N]`.

Durable work follows from how a dispatch is cut into pages and batches; what PostgreSQL and processors do was
measured (`MEASURED`). Where limits and prices come from stands beside them; assumptions are called so.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

DAY_SECONDS = 86_400
LEAST_PAGE = 50
"""Chunks in a page, unless a batch is larger: `activities.verbs.dispatch`."""
QUEUE_CALLS = 3
"""Put, get and delete of one message. Several may be got at once, so it is at most this."""
TABLE_CALLS = 3
"""One turn of an orchestrator: reads its history, adds to it, updates the instance (assumed: the provider's
code does at least this; without extended sessions, which Python lacks, history is read each time)."""


@dataclass(frozen=True)
class Measured:
    """Per chunk of two steps (transform, push of one record): commits of the engine's database, statements in
    it, bytes of write-ahead log of all databases, bytes of tables and indexes that stay, and processor
    milliseconds of host and workers."""

    commits: float
    statements: float
    wal_bytes: float
    kept_bytes: float
    cpu_ms: float


@dataclass(frozen=True)
class Durable:
    """Durable work per chunk."""

    orchestrations: float
    activities: float
    turns: float

    @property
    def messages(self) -> float:
        """Each orchestration is started and tells its parent; each activity is scheduled and answers."""
        return 2 * (self.orchestrations + self.activities)


def durable(batch: int) -> Durable:
    """A page is an orchestration, each batch in it another with one activity. A batch has two turns, a page
    one and at most one for each batch, the parent at most one for each page."""
    page = max(LEAST_PAGE, batch)
    orchestrations = 1 / page + 1 / batch
    return Durable(orchestrations, 1 / batch, 2 / batch + (1 / page + 1 / batch) + 1 / page)


@dataclass(frozen=True)
class Operations:
    """Operations per chunk in each service. `one_queue` are those of the single queue of activities."""

    queue: float
    one_queue: float
    table: float
    blob: float
    actions: float


def operations(batch: int, processes: int) -> Operations:
    """A page of records is written once, read once by each of the `processes` that work on it (at most as
    many as it has batches), and deleted."""
    work, page = durable(batch), max(LEAST_PAGE, batch)
    blob = (2 + min(processes, page / batch)) / page
    queue, table = QUEUE_CALLS * work.messages, TABLE_CALLS * work.turns
    return Operations(queue, QUEUE_CALLS * work.activities, table, blob, work.messages)


@dataclass(frozen=True)
class Limit:
    """The `most` that one deployment has of something, and what to do when it is not enough."""

    backend: str
    name: str
    most: float
    unit: str
    source: str
    remedy: str


STORAGE, SCHEDULER, BOTH = "Azure Storage", "Durable Task Scheduler", "both"
LIMITS: Mapping[str, Limit] = {
    "one_queue": Limit(
        STORAGE, "one queue (activities)", 2_000, "calls/s",
        "learn.microsoft.com/azure/storage/queues/scalability-targets: 2,000 messages/s of 1 KiB",
        "larger batches; several function apps, each with a task hub",
    ),
    "account": Limit(
        STORAGE, "storage account", 20_000, "requests/s",
        "the same page; Table Storage has the same target",
        "larger batches; a storage account for each task hub",
    ),
    "partitions": Limit(
        STORAGE, "control queues (16 partitions)", 32_000, "calls/s",
        "16 partitions at most, 2,000/s each", "several task hubs",
    ),
    "scheduler": Limit(
        SCHEDULER, "3 capacity units", 6_000, "actions/s",
        "Durable Task Scheduler billing page: 2,000 actions/s a unit, 3 units; Consumption: 500/s",
        "larger batches; several schedulers",
    ),
    "instances": Limit(
        BOTH, "Flex Consumption cores", 250, "cores",
        "flex-consumption-plan page: 250 cores a subscription and region by default, 1,000 instances",
        "ask for more quota; larger batches",
    ),
    "commits": Limit(
        BOTH, "PostgreSQL commits", 5_000, "commits/s",
        "assumed: a third of what pgbench reaches here with eight clients (14,000)",
        "larger batches; a server for each task hub",
    ),
    "wal": Limit(
        BOTH, "PostgreSQL log", 100_000_000, "bytes/s",
        "assumed: write throughput of a disk of middle size",
        "faster disks; COPY for planning; fewer rows for what only succeeds",
    ),
    "kept": Limit(
        BOTH, "PostgreSQL storage, 30 days", 32 * 1024**4, "bytes",
        "assumed: the largest disk of a server", "tables partitioned by day and dropped after their period",
    ),
}  # fmt: skip
KEPT_DAYS = 30


@dataclass(frozen=True)
class Price:
    """US dollars, and where the number comes from."""

    name: str
    dollars: float
    per: float
    source: str


PRICES: Mapping[str, Price] = {
    "queue": Price("queue operation", 0.004, 10_000, "assumed, general purpose v2"),
    "table": Price("table operation", 0.00036, 10_000, "assumed, general purpose v2"),
    "blob": Price("blob operation", 0.055, 10_000, "assumed: all as writes, hot"),
    "actions": Price("scheduler action (Consumption)", 0.20, 1_000_000, "assumed: no price was found"),
    "gb_second": Price("GB-second", 0.000026, 1, "East US, modal.com, 'Azure Functions pricing', 2025-05-22"),
    "execution": Price("execution", 0.40, 1_000_000, "assumed"),
}  # fmt: skip
INSTANCE_GB, BUSY = 2.0, 0.7
"""An instance of 2 GB has one core; assumed to be busy for this share of the time that is paid for."""

MEASURED: Mapping[int, Measured] = {
    1: Measured(commits=1.8, statements=7.7, wal_bytes=15_900, kept_bytes=4_400, cpu_ms=7.4),
    50: Measured(commits=0.23, statements=0.56, wal_bytes=11_300, kept_bytes=5_600, cpu_ms=1.8),
}
"""By `batch`: what `bench counts` said in November 2026."""
PROCESSES = 4


def needs(batch: int, chunks_a_day: float) -> dict[str, float]:
    """What so many chunks, evenly over the day, need of each limit."""
    rate, found, did = chunks_a_day / DAY_SECONDS, operations(batch, PROCESSES), MEASURED[batch]
    per_chunk = {
        "one_queue": found.one_queue,
        "account": found.queue + found.table + found.blob,
        "partitions": found.queue - found.one_queue,
        "scheduler": found.actions,
        "instances": did.cpu_ms / 1000 / BUSY,
        "commits": did.commits,
        "wal": did.wal_bytes,
        "kept": did.kept_bytes * DAY_SECONDS * KEPT_DAYS,
    }
    return {name: rate * amount for name, amount in per_chunk.items()}


def first_limit(batch: int, backend: str) -> tuple[str, float]:
    """The limit that is met first with this backend, and the chunks a day at which it is."""
    needed = needs(batch, 1)
    reached = {
        name: limit.most / needed[name]
        for name, limit in LIMITS.items()
        if limit.backend in (backend, BOTH) and needed[name]
    }
    name = min(reached, key=reached.__getitem__)
    return name, reached[name]


def dollars(batch: int, chunks: float) -> dict[str, float]:
    """What chunks cost with each backend, database and idle time not included."""
    found, work, did = operations(batch, PROCESSES), durable(batch), MEASURED[batch]
    seconds = did.cpu_ms / 1000 / BUSY * INSTANCE_GB
    compute = _pay("gb_second", seconds) + _pay("execution", work.turns + work.activities)
    blob = _pay("blob", found.blob)
    storage = _pay("queue", found.queue) + _pay("table", found.table)
    return {
        STORAGE: chunks * (compute + blob + storage),
        SCHEDULER: chunks * (compute + blob + _pay("actions", found.actions)),
    }


def _pay(name: str, amount: float) -> float:
    return amount * PRICES[name].dollars / PRICES[name].per


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="bench costs", description="What chunks cost in Azure.")
    parser.add_argument("--chunks-a-day", type=float, default=100e6)
    given = parser.parse_args(argv)
    print("\n".join(lines(given.chunks_a_day)))
    return 0


def lines(chunks_a_day: float) -> Iterator[str]:
    """The tables, as Markdown."""
    batches = list(MEASURED)
    yield _row("per 1,000 chunks", *(f"batch {batch}" for batch in batches))
    yield _row(*["---"] * (len(batches) + 1))
    for name, values in _per_thousand(batches):
        yield _row(name, *map(_short, values))
    yield ""
    yield _row(f"{chunks_a_day / 1e6:,.0f} million a day", "limit", *(f"batch {b}" for b in batches), "then")
    yield _row(*["---"] * (len(batches) + 3))
    needed = [needs(batch, chunks_a_day) for batch in batches]
    for name, limit in LIMITS.items():
        shares = (f"{_short(one[name])} ({one[name] / limit.most:.0%})" for one in needed)
        yield _row(
            f"{limit.name} ({limit.backend})", f"{_short(limit.most)} {limit.unit}", *shares, limit.remedy
        )
    yield ""
    for batch in batches:
        for backend in (STORAGE, SCHEDULER):
            name, most = first_limit(batch, backend)
            yield f"- batch {batch}, {backend}: first {LIMITS[name].name}, at {most / 1e6:,.0f} million a day"
    yield ""
    yield from _sources()


def _sources() -> Iterator[str]:
    for price in PRICES.values():
        yield f"- {price.name}: ${price.dollars:g} for {price.per:,.0f} ({price.source})"
    for limit in LIMITS.values():
        yield f"- {limit.name}: {_short(limit.most)} {limit.unit} ({limit.source})"


def _per_thousand(batches: Sequence[int]) -> Iterator[tuple[str, list[float]]]:
    found = [operations(batch, PROCESSES) for batch in batches]
    works = [durable(batch) for batch in batches]
    did = [MEASURED[batch] for batch in batches]
    paid = [dollars(batch, 1000) for batch in batches]
    yield "orchestrations", [1000 * one.orchestrations for one in works]
    yield "activities", [1000 * one.activities for one in works]
    yield "orchestrator turns, at most", [1000 * one.turns for one in works]
    yield "queue operations", [1000 * one.queue for one in found]
    yield "table operations", [1000 * one.table for one in found]
    yield "blob operations", [1000 * one.blob for one in found]
    yield "scheduler actions", [1000 * one.actions for one in found]
    yield "commits", [1000 * one.commits for one in did]
    yield "statements", [1000 * one.statements for one in did]
    yield "US dollars with Azure Storage", [one[STORAGE] for one in paid]
    yield "US dollars with Durable Task Scheduler", [one[SCHEDULER] for one in paid]


def _short(number: float) -> str:
    """Three digits that count."""
    if number == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(number))))
    return f"{round(number, digits):,.{digits}f}" if number < 1e6 else f"{number:,.3g}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
