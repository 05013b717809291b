"""What a hub remembers: orchestration instances, entities, and messages on their way to them.

All of it belongs to one event loop; nothing here is locked. `batch` is the number of the journal batch that
will hold the object's latest change: once that batch is committed, so is the object.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from localhost.taskhub import statuses, wire
from localhost.taskhub.timers import Deadline


@dataclass(frozen=True, slots=True)
class Parent:
    """Who waits for a sub-orchestration: the instance, its execution at that time, and the task id there."""

    instance_id: str
    name: str
    execution: int
    execution_id: str
    task_id: int


@dataclass(slots=True)
class Message:
    """An encoded history event on its way to an instance or entity. `kind` is the event's type.

    `visible` (seconds since 1970) holds a scheduled start or delayed signal back until that time.
    """

    id: int
    target: str
    kind: str
    event: bytes
    visible: float | None = None


@dataclass(slots=True, eq=False)
class Activity:
    """One scheduled activity of one execution; identity decides whether a late result still counts."""

    instance_id: str
    execution: int
    task_id: int
    root: str
    name: str
    version: str
    event: bytes


@dataclass(slots=True, eq=False)
class Turn:
    """A turn in progress: the messages it delivers, and the events it will add to the history."""

    messages: list[Message]
    news: list[bytes]


class Instance:
    """An orchestration. `history` is None once it is finished: then it is read from the database.

    `sequence` counts the pieces of history, `events` what is in them, `unsaved` has those not yet written.
    `ending` is a termination that waits for the end of a turn, `delayed` a start that waits for its time.
    `fresh` asks for the whole row to be written. `execution` is unique in the hub and changes with every
    continue-as-new and rewind: results of an earlier execution never fit a later one.
    """

    __slots__ = (
        "activities",
        "batch",
        "calls",
        "children",
        "completed",
        "created",
        "custom_status",
        "delayed",
        "ending",
        "events",
        "execution",
        "execution_id",
        "failure",
        "fresh",
        "history",
        "hold",
        "id",
        "inbox",
        "input",
        "name",
        "not_before",
        "output",
        "parent",
        "queued",
        "root",
        "scheduled_start",
        "sequence",
        "status",
        "tags",
        "timers",
        "trace",
        "turn",
        "unsaved",
        "updated",
        "urgency",
        "version",
        "waiters",
    )

    def __init__(self, id: str, name: str, *, execution: int, execution_id: str, now: float) -> None:
        self.id = id
        self.name = name
        self.version: str | None = None
        self.tags: dict[str, str] = {}
        self.status: int = statuses.PENDING
        self.created = self.updated = now
        self.completed: float | None = None
        self.scheduled_start: float | None = None
        self.input: str | None = None
        self.output: str | None = None
        self.custom_status: str | None = None
        self.failure: bytes | None = None
        self.parent: Parent | None = None
        self.root = id
        self.trace = b""

        self.execution = execution
        self.execution_id = execution_id
        self.fresh = True
        self.history: list[bytes] | None = []
        self.unsaved: list[tuple[int, bytes]] = []
        self.sequence = 0
        self.events = 0
        self.batch = 0

        self.inbox: list[Message] = []
        self.urgency = 0
        self.ending: Message | None = None
        self.delayed: Message | None = None
        self.turn: Turn | None = None
        self.queued = False
        self.not_before = 0.0
        self.hold: Deadline | None = None
        self.waiters: list[asyncio.Future[None]] = []

        self.activities: dict[int, Activity] = {}
        self.children: dict[int, str] = {}
        self.timers: dict[int, Deadline] = {}
        self.calls: set[str] = set()

    @property
    def finished(self) -> bool:
        """Whether it has reached a final status."""
        return self.status in statuses.FINISHED

    @property
    def outstanding(self) -> int:
        """How many activities, sub-orchestrations and entity calls it still waits for."""
        return len(self.activities) + len(self.children) + len(self.calls)

    def record(self, events: list[bytes]) -> None:
        """Append encoded events to the history, as one piece."""
        piece = wire.past(events)
        if self.history is not None:
            self.history.append(piece)
        self.unsaved.append((self.sequence, piece))
        self.sequence += 1
        self.events += len(events)

    def announce(self) -> None:
        """Let everybody who waits for this instance look at it again."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


@dataclass(slots=True, eq=False)
class LockRequest:
    """An orchestration that wants to lock several entities at once; it stands in the queue of each."""

    message: Message
    section: str
    owner: str
    entities: tuple[str, ...]


class Entity:
    """An entity. `queue` has operations and lock requests in the order they came."""

    __slots__ = (
        "batch",
        "id",
        "lock_owner",
        "lock_section",
        "modified",
        "queue",
        "queued",
        "running",
        "state",
    )

    def __init__(self, id: str, now: float) -> None:
        self.id = id
        self.state: str | None = None
        self.modified = now
        self.lock_section: str | None = None
        self.lock_owner: str | None = None
        self.queue: deque[Message | LockRequest] = deque()
        self.running: list[Message] | None = None
        self.queued = False
        self.batch = 0

    @property
    def name(self) -> str:
        """The entity's type: `@name@key`."""
        return self.id.split("@", 2)[1]

    @property
    def blank(self) -> bool:
        """Whether the database has nothing to remember about it."""
        return self.state is None and self.lock_section is None
