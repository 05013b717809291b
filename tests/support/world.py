"""A whole deployment on real services, without a host: what the engine's integration tests work with."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import select

from activities.adapter_pool import AdapterPool
from activities.contract import Next, Outcome, SegmentInput
from activities.run_segment import run_segment
from activities.services import Services
from adapters.contract import Adapter
from adapters.identity.people_file import PeopleFile
from adapters.registry import get_adapter, operations_of
from commands.connectors import save_connector, save_object_type
from commands.deployment import Deployment
from commands.files import upload_file
from commands.orchestrations import Liveness
from commands.runs import start_run
from commands.workflows import publish_workflow
from kernel.clock import utc_now
from kernel.people import Person, Role
from kernel.secrets import Secret
from orchestrators.names import WORKFLOW_RUN
from store import runs
from store.blobs import Blobs
from store.contexts import ContextStore
from store.database import Database
from store.envelope import Envelope
from store.gates import Gates
from store.runs import RunRow, TaskRow
from store.tables import workflow_run as workflow_run_table
from store.workflows import Version
from tests.support.adapters import Vault
from tests.support.driving import Driver
from workflows.sql import SqlEngine

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WORK_LOG = EXAMPLES / "data" / "purchasing-worklog" / "PurchasingExample.csv"
ADA = Person("local:ada", "Ada Admin", "ada@example.com", frozenset({Role.ADMIN}))
ACTOR = ADA.id
ACCOUNT = "erp"
COLUMNS = ("case_id", "activity", "resource", "start_time", "end_time")
SMALL_LOG: tuple[tuple[str, ...], ...] = (
    ("1", "Pay Invoice", "Ann Ace", "2024-03-01T08:00:00+02:00", "2024-03-01T09:30:00+02:00"),
    ("1", "Pay Invoice", "Ann Ace", "2024-03-01T10:00:00+02:00", "2024-03-01T10:30:00+02:00"),
    ("2", "Send Invoice", "Bob Bee", "2024-03-01T23:30:00+02:00", "2024-03-02T00:30:00+02:00"),
    ("3", "Send Invoice", "Bob Bee", "2024-03-03T08:00:00+02:00", "2024-03-03T08:00:00+02:00"),
)


class Unstarted:
    """No durable execution: what commands ask of it is only written down."""

    def __init__(self) -> None:
        self.started: list[tuple[UUID, int, int]] = []
        self.woken: list[tuple[UUID, int]] = []
        self.decisions: list[tuple[UUID, int, UUID]] = []
        self.stopped: list[tuple[UUID, int]] = []
        self.purged: list[tuple[UUID, int]] = []
        self.purged_before: list[datetime] = []
        self.alive: dict[tuple[UUID, int], Liveness] = {}

    def start(self, run_id: UUID, execution: int = 0, segment: int = 0) -> None:
        """Write down the start."""
        self.started.append((run_id, execution, segment))

    def wake(self, run_id: UUID, execution: int) -> None:
        """Write down the event."""
        self.woken.append((run_id, execution))

    def decided(self, run_id: UUID, execution: int, approval_id: UUID) -> None:
        """Write down the event."""
        self.decisions.append((run_id, execution, approval_id))

    def liveness(self, run_id: UUID, execution: int) -> Liveness:
        """What the test says."""
        return self.alive.get((run_id, execution), Liveness.ALIVE)

    def stop(self, run_id: UUID, execution: int) -> None:
        """Write down the termination."""
        self.stopped.append((run_id, execution))

    def purge(self, run_id: UUID, execution: int) -> None:
        """Write down the purge."""
        self.purged.append((run_id, execution))

    def purge_begun_before(self, time: datetime) -> int:
        """Write down the time."""
        self.purged_before.append(time)
        return 0


class Counted:
    """Metrics that a test can read."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()

    def add(self, name: str, amount: int, **attributes: str) -> None:
        """Count."""
        self.counts[name, *attributes.values()] += amount


@dataclass
class World:
    """Commands and activities over one database, one storage account and one example ERP."""

    deployment: Deployment
    services: Services
    erp_url: str = field(repr=False)
    owner_url: str = field(repr=False)

    def publish(self, definition: str | None = None) -> Version:
        """Publish a definition; the example by default."""
        text = (EXAMPLES / "labour_costs.yaml").read_text() if definition is None else definition
        return publish_workflow(self.deployment, text, ADA)[0]

    def upload(self, rows: Sequence[Sequence[str]] | bytes) -> str:
        """Upload a work log and return its name."""
        data = rows if isinstance(rows, bytes) else work_log(rows)
        return upload_file(self.deployment, f"logs/{uuid4().hex}.csv", data, ADA, overwrite=False).name

    def start(self, workflow: str = "labour-costs", **inputs: Any) -> RunRow:
        """Commit a run; nothing executes it yet. The example asks nobody, unless its inputs say so."""
        if workflow == "labour-costs":
            inputs = {"approval_limit": "1000000.00", **inputs}
        return start_run(self.deployment, workflow, inputs, "test", ADA, Unstarted())[0]

    def finish(self, run: RunRow) -> RunRow:
        """Drive the run's orchestrator, calling activities directly, until the run has ended."""
        drive(self.services, run.id)
        return self.run(run.id)

    def post(self, rows: Sequence[Sequence[str]] | bytes, **inputs: Any) -> RunRow:
        """Upload, start and finish."""
        return self.finish(self.start(file=self.upload(rows), **inputs))

    def run(self, run_id: UUID) -> RunRow:
        """The run as stored."""
        with self.deployment.database.reading() as connection:
            return runs.get_run(connection, run_id)

    def tasks(self, run_id: UUID) -> dict[str, TaskRow]:
        """The run's tasks by step key."""
        with self.deployment.database.reading() as connection:
            return {task.step_key: task for task in runs.get_tasks(connection, run_id)}

    def ledger(self) -> list[tuple[str, str, str, int, Decimal]]:
        """The ERP's own lines, read with a plain client: case, activity, worker, seconds, amount."""
        with psycopg.connect(self.erp_url) as connection:
            return connection.execute(
                "SELECT case_id, activity, worker, worked_seconds, amount FROM job_ledger ORDER BY 1, 2, 3, 4"
            ).fetchall()

    def sql(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of our own database, read as its owner."""
        with psycopg.connect(self.owner_url) as connection:
            return connection.execute(query, parameters).fetchall()

    def counted(self) -> dict[tuple[str, ...], int]:
        """What the deployment has counted."""
        return dict(cast(Counted, self.deployment.metrics).counts)

    def with_adapter(self, wrap: Callable[[Adapter], Adapter]) -> Services:
        """Services whose adapters are wrapped, to make a real system misbehave. None is kept."""
        make = self.services.adapters.make
        return replace(self.services, adapters=AdapterPool(lambda connector: wrap(make(connector)), most=0))


def work_log(rows: Sequence[Sequence[str]]) -> bytes:
    """A work log as CSV."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return out.getvalue().encode()


class SteppingClock:
    """The time of day, ahead by what tests and waits have skipped."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.before_skip: Callable[[], object] = lambda: None

    def __call__(self) -> datetime:
        return utc_now() + self.ahead

    def skip(self, time: timedelta) -> None:
        """Let time pass, or run back. What others were to do meanwhile, they get done before."""
        self.before_skip()
        self.ahead += time


def drive(services: Services, run_id: UUID, execution: int = 0, segment: int = 0) -> dict[str, Any]:
    """Run the orchestrator, calling activities in place; timers skip their time.

    Returns when the run has ended, or with the state SUSPENDED when it waits for someone.
    """
    given = {"run_id": str(run_id), "execution": execution, "segment": segment}
    return Driver(services, cast(SteppingClock, services.clock).skip).run(WORKFLOW_RUN, given)


def one_segment(services: Services, run_id: UUID, segment: int = 0, execution: int = 0) -> Outcome:
    """One execution of one segment, when it is due."""
    with services.database.reading() as connection:
        wake_at = connection.scalar(
            select(workflow_run_table.c.wake_at).where(workflow_run_table.c.id == run_id)
        )
    if wake_at is not None and wake_at > services.clock():
        cast(SteppingClock, services.clock).skip(wake_at - services.clock())
    return run_segment(services, SegmentInput(str(run_id), segment, execution))


def waits(outcome: Outcome) -> bool:
    """Whether the segment asks to be tried again later."""
    return outcome.next is Next.RETRY


@contextmanager
def closing(world: World) -> Any:
    """The world, its connections closed at the end."""
    try:
        yield world
    finally:
        world.services.adapters.close()
        world.deployment.database.close()


def make_world(app_url: str, owner_url: str, erp_url: str, storage: str) -> World:
    """A deployment with the example connectors and object type."""
    database, blobs, engine = Database(Secret(app_url)), Blobs(Secret(storage)), SqlEngine()
    blobs.ensure_containers()
    address = psycopg.conninfo.conninfo_to_dict(erp_url)
    vault = Vault({"erp-password": str(address["password"]), "files-connection": storage})
    envelope = Envelope(b"k" * 32)
    adapters = AdapterPool(partial(get_adapter, environment="sandbox", credentials=vault))
    clock = SteppingClock()
    services = Services(
        database, blobs, ContextStore(blobs, envelope), envelope, engine, adapters, clock, "sandbox",
        Gates(Secret(storage)),
    )  # fmt: skip
    deployment = Deployment(
        database,
        blobs,
        envelope,
        engine,
        operations_of,
        clock,
        "sandbox",
        1_000_000,
        Counted(),
        directory=PeopleFile(EXAMPLES / "people.json"),
    )
    world = World(deployment, services, erp_url, owner_url.replace("+psycopg", ""))
    _register(world, address)
    return world


def _register(world: World, address: Mapping[str, Any]) -> None:
    with psycopg.connect(world.erp_url) as connection:
        connection.execute((EXAMPLES / "erp" / "schema.sql").read_bytes())
    for path in (EXAMPLES / "connectors").glob("*.json"):
        given = json.loads(path.read_text())
        if path.stem == "erp":
            names = {"host": "host", "port": "port", "dbname": "database"}
            given["settings"] |= {ours: address[theirs] for theirs, ours in names.items()}
            given["settings"]["port"] = int(given["settings"]["port"])
        save_connector(world.deployment, path.stem, given["system"], given["settings"], given["secrets"], ADA)
    for path in (EXAMPLES / "object_types").glob("*.json"):
        save_object_type(world.deployment, path.stem, json.loads(path.read_text())["schema"], ADA)
