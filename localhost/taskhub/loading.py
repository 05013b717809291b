"""The live part of a hub, read back from the database: what a new owner continues with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import asyncpg
from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import rows, wire
from localhost.taskhub.events import seconds
from localhost.taskhub.model import Activity, Entity, Instance, Message

_LIVE = f"SELECT {rows.INSTANCE_COLUMNS} FROM taskhub.instance WHERE hub = $1 AND live"  # noqa: S608
_ONE = f"SELECT {rows.INSTANCE_COLUMNS} FROM taskhub.instance WHERE hub = $1 AND id = $2"  # noqa: S608
_HISTORIES = """
SELECT i.id, h.sequence, h.events
FROM taskhub.instance i JOIN taskhub.history h ON h.hub = i.hub AND h.execution = i.execution
WHERE i.hub = $1 AND i.live ORDER BY h.execution, h.sequence
"""
_HISTORY = "SELECT events FROM taskhub.history WHERE hub = $1 AND execution = $2 ORDER BY sequence"
_MESSAGES = "SELECT id, target, visible, event FROM taskhub.message WHERE hub = $1 ORDER BY id"
_ENTITIES = """
SELECT id, state, modified, lock_section, lock_owner FROM taskhub.entity WHERE hub = $1
"""
_LAST_ID = """
SELECT greatest(
    (SELECT coalesce(max(id), 0) FROM taskhub.message WHERE hub = $1),
    (SELECT coalesce(max(execution), 0) FROM taskhub.history WHERE hub = $1),
    (SELECT coalesce(max(execution), 0) FROM taskhub.instance WHERE hub = $1 AND live))
"""


@dataclass
class Loaded:
    """Everything that is not finished. `timers` are armed: (instance id, timer id) to the time."""

    last_id: int
    instances: dict[str, Instance] = field(default_factory=dict)
    entities: dict[str, Entity] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    timers: dict[tuple[str, int], float] = field(default_factory=dict)


async def load(connection: asyncpg.Connection, hub: int) -> Loaded:
    """Read what is live. The caller owns the hub, so that nothing changes meanwhile."""
    loaded = Loaded(int(await connection.fetchval(_LAST_ID, hub)))
    for row in await connection.fetch(_LIVE, hub):
        instance = rows.instance(row)
        loaded.instances[instance.id] = instance
    for row in await connection.fetch(_HISTORIES, hub):
        _append(loaded.instances[row["id"]], row["sequence"], row["events"])
    for row in await connection.fetch(_ENTITIES, hub):
        entity = rows.entity(row)
        loaded.entities[entity.id] = entity
    loaded.messages = [_message(row) for row in await connection.fetch(_MESSAGES, hub)]
    for instance in loaded.instances.values():
        loaded.timers |= {(instance.id, timer): at for timer, at in resume(instance).items()}
        _join_parent(instance, loaded.instances)
    for message in loaded.messages:
        if message.kind in _SETTLE and message.target in loaded.instances:
            _SETTLE[message.kind](loaded, message.target, pb.HistoryEvent.FromString(message.event))
    return loaded


async def load_instance(connection: asyncpg.Connection, hub: int, instance_id: str) -> Instance | None:
    """One instance, usually a finished one, without its history."""
    row = await connection.fetchrow(_ONE, hub, instance_id)
    return None if row is None else rows.instance(row)


async def load_history(connection: asyncpg.Connection, hub: int, execution: int) -> list[bytes]:
    """The pieces of history of one execution."""
    return [row["events"] for row in await connection.fetch(_HISTORY, hub, execution)]


def resume(instance: Instance) -> dict[int, float]:
    """Derive from its history what an instance waits for; the timers that are armed, with their times."""
    state = _Open(instance)
    for event in wire.history_events(instance.history or ()):
        instance.events += 1
        kind = event.WhichOneof("eventType") or ""
        if kind in _FOLLOW:
            _FOLLOW[kind](state, event)
    return state.timers


@dataclass
class _Open:
    instance: Instance
    timers: dict[int, float] = field(default_factory=dict)

    def scheduled(self, event: pb.HistoryEvent) -> None:
        self.instance.activities[event.eventId] = new_activity(self.instance, event)

    def completed(self, event: pb.HistoryEvent) -> None:
        self.instance.activities.pop(event.taskCompleted.taskScheduledId, None)

    def failed(self, event: pb.HistoryEvent) -> None:
        self.instance.activities.pop(event.taskFailed.taskScheduledId, None)

    def armed(self, event: pb.HistoryEvent) -> None:
        self.timers[event.eventId] = seconds(event.timerCreated.fireAt)

    def fired(self, event: pb.HistoryEvent) -> None:
        self.timers.pop(event.timerFired.timerId, None)

    def called(self, event: pb.HistoryEvent) -> None:
        self.instance.calls.add(event.entityOperationCalled.requestId)

    def answered(self, event: pb.HistoryEvent) -> None:
        self.instance.calls.discard(event.entityOperationCompleted.requestId)

    def refused(self, event: pb.HistoryEvent) -> None:
        self.instance.calls.discard(event.entityOperationFailed.requestId)


_FOLLOW: Mapping[str, Callable[[_Open, pb.HistoryEvent], None]] = {
    "taskScheduled": _Open.scheduled,
    "taskCompleted": _Open.completed,
    "taskFailed": _Open.failed,
    "timerCreated": _Open.armed,
    "timerFired": _Open.fired,
    "entityOperationCalled": _Open.called,
    "entityOperationCompleted": _Open.answered,
    "entityOperationFailed": _Open.refused,
}


def new_activity(instance: Instance, event: pb.HistoryEvent) -> Activity:
    """The activity that a taskScheduled event of this instance asks for."""
    scheduled = event.taskScheduled
    return Activity(
        instance_id=instance.id,
        execution=instance.execution,
        task_id=event.eventId,
        root=instance.root,
        name=scheduled.name,
        version=scheduled.version.value,
        event=scheduled.SerializeToString(),
    )


def _append(instance: Instance, sequence: int, events: bytes) -> None:
    assert instance.history is not None
    instance.history.append(events)
    instance.sequence = sequence + 1


def _join_parent(instance: Instance, instances: Mapping[str, Instance]) -> None:
    parent = instance.parent
    if parent is None:
        return
    waiting = instances.get(parent.instance_id)
    if waiting is not None and waiting.execution == parent.execution:
        waiting.children[parent.task_id] = instance.id


def _message(row: asyncpg.Record) -> Message:
    event = pb.HistoryEvent.FromString(row["event"])
    visible = row["visible"].timestamp() if row["visible"] is not None else None
    return Message(row["id"], row["target"], event.WhichOneof("eventType") or "", row["event"], visible)


# A message that has not been delivered yet already answers what history still calls open.


def _settle_completed(loaded: Loaded, target: str, event: pb.HistoryEvent) -> None:
    loaded.instances[target].activities.pop(event.taskCompleted.taskScheduledId, None)


def _settle_failed(loaded: Loaded, target: str, event: pb.HistoryEvent) -> None:
    loaded.instances[target].activities.pop(event.taskFailed.taskScheduledId, None)


def _settle_timer(loaded: Loaded, target: str, event: pb.HistoryEvent) -> None:
    loaded.timers.pop((target, event.timerFired.timerId), None)


def _settle_completed_call(loaded: Loaded, target: str, event: pb.HistoryEvent) -> None:
    loaded.instances[target].calls.discard(event.entityOperationCompleted.requestId)


def _settle_failed_call(loaded: Loaded, target: str, event: pb.HistoryEvent) -> None:
    loaded.instances[target].calls.discard(event.entityOperationFailed.requestId)


_SETTLE: Mapping[str, Callable[[Loaded, str, pb.HistoryEvent], None]] = {
    "taskCompleted": _settle_completed,
    "taskFailed": _settle_failed,
    "timerFired": _settle_timer,
    "entityOperationCompleted": _settle_completed_call,
    "entityOperationFailed": _settle_failed_call,
}
