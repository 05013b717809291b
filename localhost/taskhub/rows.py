"""Instances and entities as database rows, and back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import statuses
from localhost.taskhub.events import seconds, text, timestamp, unwrapped
from localhost.taskhub.model import Entity, Instance, Parent

INSTANCE_COLUMNS = (
    "id, execution, status, live, created, completed, root, parent_id, parent_execution, parent_link, "
    "input, state, trace"
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(value: float | None) -> datetime | None:
    """Seconds since 1970 as the database wants them."""
    return None if value is None else datetime.fromtimestamp(value, UTC)


def micros(time: datetime) -> int:
    """An aware time as microseconds since 1970, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """The reverse of `micros`."""
    return _EPOCH + timedelta(microseconds=value)


def state(instance: Instance) -> pb.OrchestrationState:
    """The client's view of an instance, without its input."""
    view = pb.OrchestrationState(
        instanceId=instance.id,
        name=instance.name,
        version=text(instance.version),
        orchestrationStatus=pb.OrchestrationStatus.Name(instance.status),
        createdTimestamp=timestamp(instance.created),
        lastUpdatedTimestamp=timestamp(instance.updated),
        output=text(instance.output),
        customStatus=text(instance.custom_status),
        executionId=text(instance.execution_id),
        tags=instance.tags,
    )
    if instance.failure is not None:
        view.failureDetails.MergeFromString(instance.failure)
    if instance.scheduled_start is not None:
        view.scheduledStartTimestamp.CopyFrom(timestamp(instance.scheduled_start))
    if instance.completed is not None:
        view.completedTimestamp.CopyFrom(timestamp(instance.completed))
    if instance.parent is not None:
        view.parentInstanceId.value = instance.parent.instance_id
    return view


def parent_info(parent: Parent) -> pb.ParentInstanceInfo:
    """The parent as a sub-orchestration's first event names it."""
    return pb.ParentInstanceInfo(
        taskScheduledId=parent.task_id,
        name=text(parent.name),
        orchestrationInstance=pb.OrchestrationInstance(
            instanceId=parent.instance_id, executionId=text(parent.execution_id)
        ),
    )


def full_row(instance: Instance) -> tuple[Any, ...]:
    """Values for INSTANCE_COLUMNS."""
    parent = instance.parent
    return (
        instance.id,
        instance.execution,
        instance.status,
        not instance.finished,
        moment(instance.created),
        moment(instance.completed),
        instance.root,
        parent.instance_id if parent else None,
        parent.execution if parent else None,
        parent_info(parent).SerializeToString() if parent else None,
        None if instance.input is None else instance.input.encode(),
        state(instance).SerializeToString(),
        instance.trace,
    )


def progress_row(instance: Instance) -> tuple[Any, ...]:
    """The values that change while one execution runs: id, status, live, completed, state, trace."""
    return (
        instance.id,
        instance.status,
        not instance.finished,
        moment(instance.completed),
        state(instance).SerializeToString(),
        instance.trace,
    )


def instance(row: asyncpg.Record) -> Instance:
    """The instance of a row, without history, messages or anything it waits for."""
    view = pb.OrchestrationState.FromString(row["state"])
    found = Instance(
        row["id"],
        view.name,
        execution=row["execution"],
        execution_id=view.executionId.value,
        now=seconds(view.createdTimestamp),
    )
    found.status = int(view.orchestrationStatus)
    found.fresh = False
    found.version = unwrapped(view, "version")
    found.tags = dict(view.tags)
    found.updated = seconds(view.lastUpdatedTimestamp)
    found.completed = seconds(view.completedTimestamp) if view.HasField("completedTimestamp") else None
    if view.HasField("scheduledStartTimestamp"):
        found.scheduled_start = seconds(view.scheduledStartTimestamp)
    found.input = None if row["input"] is None else row["input"].decode()
    found.output = unwrapped(view, "output")
    found.custom_status = unwrapped(view, "customStatus")
    found.failure = view.failureDetails.SerializeToString() if view.HasField("failureDetails") else None
    found.root = row["root"]
    found.trace = row["trace"]
    found.parent = _parent(row)
    if found.status in statuses.FINISHED:
        found.history = None
    return found


def _parent(row: asyncpg.Record) -> Parent | None:
    if row["parent_link"] is None:
        return None
    link = pb.ParentInstanceInfo.FromString(row["parent_link"])
    return Parent(
        instance_id=row["parent_id"],
        name=link.name.value,
        execution=row["parent_execution"],
        execution_id=link.orchestrationInstance.executionId.value,
        task_id=link.taskScheduledId,
    )


def entity_row(entity: Entity) -> tuple[Any, ...]:
    """Values for the columns id, state, modified, lock_section, lock_owner."""
    return (
        entity.id,
        None if entity.state is None else entity.state.encode(),
        moment(entity.modified),
        entity.lock_section,
        entity.lock_owner,
    )


def entity(row: asyncpg.Record) -> Entity:
    """The entity of a row, without what is queued for it."""
    found = Entity(row["id"], row["modified"].timestamp())
    found.state = None if row["state"] is None else row["state"].decode()
    found.lock_section = row["lock_section"]
    found.lock_owner = row["lock_owner"]
    return found
