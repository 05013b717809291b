"""An outbox with approvals to speak of, people to tell, and a channel that writes down what it is given."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from activities.notify import deliver
from activities.notifying.postbox import Postbox
from activities.services import Services
from adapters.comms.letter import Channel, Letter
from kernel.ids import new_id
from kernel.links import Links
from kernel.people import Addressee
from store.approval_tables import notification
from store.approvals import insert_approval
from store.database import Database
from store.notifications import announce
from store.tables import workflow, workflow_run, workflow_version
from tests.unit.kernel.test_links import key

BEGIN = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
CONTROLLERS = "finance-controllers"
CARLA = Addressee("local:carla", "Carla", "carla@example.com")
CONRAD = Addressee("local:conrad", "Conrad", "conrad@example.com")
RITA = "local:rita"
SUMMARY: Mapping[str, Any] = {
    "workflow": "labour",
    "name": "Weekly labour",
    "version": 4,
    "writes": [
        {
            "step": "post",
            "connector": "erp",
            "operation": "journal_lines",
            "records": 1204,
            "measures": {"amount": "51234.50"},
        }
    ],
    "rejected": 3,
    "amount": "51234.50",
    "requested_by": "Rita",
}


@dataclass
class Room:
    """A channel that writes down what it is given, after the failures it was told to have."""

    personal: bool = True
    sent: list[tuple[Letter, str | None]] = field(default_factory=list)
    failures: deque[Exception] = field(default_factory=deque)
    before: Callable[[], None] = lambda: None

    def send(self, letter: Letter, address: str | None) -> None:
        """Write it down, or fail."""
        self.before()
        if self.failures:
            raise self.failures.popleft()
        self.sent.append((letter, address))


class People:
    """A directory in memory."""

    def __init__(self, groups: Mapping[str, Sequence[Addressee]]) -> None:
        self.groups = dict(groups)
        self.failures: deque[Exception] = deque()

    def members(self, group: str) -> Sequence[Addressee]:
        """The people of a group."""
        if self.failures:
            raise self.failures.popleft()
        return self.groups.get(group, ())


@dataclass
class Clock:
    """Stands still until it is told otherwise."""

    now: datetime = BEGIN

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def on(self, **parts: float) -> None:
        """Go on by so much."""
        self.now += timedelta(**parts)


class Outbox:
    """Services with an outbox, and what a test does with it."""

    def __init__(self, services: Services, owner_url: str, run_id: UUID) -> None:
        self.clock, self.mail = Clock(), Room()
        self.people = People({CONTROLLERS: (CARLA, CONRAD)})
        self.links = Links("https://sluice.example.com", [key(1)])
        self.services = replace(services, clock=self.clock, directory=self.people)
        self.have(mail=self.mail)
        self._owner_url, self._run_id = owner_url, run_id

    def have(self, **channels: Channel) -> None:
        """Only these channels from now on."""
        self.services = replace(self.services, postbox=Postbox(channels, self.links))

    def approval(self, **values: Any) -> UUID:
        """A request that is open."""
        row = {
            "id": new_id(), "run_id": self._run_id, "step_key": f"limits-{new_id()}", "execution": 0,
            "rule": 0, "because": "Week over 50,000", "approvers": [CONTROLLERS], "quorum": 1,
            "on_timeout": "reject", "excluded": [RITA], "digest": "d", "facts": {"total": "51234.50"},
            "summary": dict(SUMMARY),
            "requested_at": self.clock.now, "due_at": self.clock.now + timedelta(hours=48),
        }  # fmt: skip
        row |= values
        with self.services.database.transaction("test") as connection:
            insert_approval(connection, row)
        return UUID(str(row["id"]))

    def announce(
        self, approval_id: UUID, kind: str = "asked", *, groups: Sequence[str] = (CONTROLLERS,),
        people: Sequence[str] = (), level: int = 0,
    ) -> None:  # fmt: skip
        """As the engine does."""
        audience = {"groups": list(groups), "people": list(people)}
        with self.services.database.transaction("test") as connection:
            announce(connection, approval_id, kind, audience, self.clock.now, level)

    def asked(self, **values: Any) -> UUID:
        """A request with its first announcement."""
        approval_id = self.approval(**values)
        self.announce(approval_id)
        return approval_id

    def deliver(self, limit: int = 50) -> dict[str, int]:
        """Handle what is due."""
        return deliver(self.services, limit)

    def rows(self, approval_id: UUID) -> list[Any]:
        """What the outbox has about an approval, announcements first."""
        mine = notification.c.approval_id == approval_id
        query = notification.select().where(mine).order_by(notification.c.id)
        with self.services.database.reading() as connection:
            return list(connection.execute(query))

    def states(self, approval_id: UUID) -> list[str]:
        """Their states."""
        return [row.state for row in self.rows(approval_id)]

    def execute(self, statement: str, *values: Any) -> None:
        """SQL as the owner of the tables."""
        with psycopg.connect(self._owner_url.replace("+psycopg", "")) as connection:
            connection.execute(statement, values)


def insert_run(database: Database) -> UUID:
    """A run that nothing executes."""
    run, version = new_id(), new_id()
    made = {"created_at": BEGIN, "updated_at": BEGIN}
    published = {"published_by": RITA, "published_at": BEGIN}
    texts = {"definition": {}, "source": "", "plan": {}}
    state = {"environment": "sandbox", "state": "SUSPENDED", "inputs": {}, "requested_by": RITA}
    with database.transaction("test") as connection:
        connection.execute(workflow.insert().values(key="labour", name="Labour", active_version=1, **made))
        connection.execute(
            workflow_version.insert().values(
                id=version, workflow="labour", number=1, hash="h", **texts, **published
            )
        )
        connection.execute(
            workflow_run.insert().values(
                id=run, workflow="labour", version_id=version, created_at=BEGIN, **state
            )
        )
    return run


def together(times: int, act: Callable[[], Any]) -> list[Any]:
    """The results of doing it so many times at once."""
    barrier, results = threading.Barrier(times), []

    def run() -> None:
        barrier.wait()
        results.append(act())

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
