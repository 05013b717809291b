"""The history events that the hub itself writes, encoded."""

from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue

_NO_ID = -1
_LAST_SECOND = 253_402_300_799.0  # of the year 9999


def timestamp(seconds: float) -> Timestamp:
    """Seconds since 1970 to the microsecond, which is what a database and a datetime keep."""
    micros = round(seconds * 1_000_000)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def seconds(stamp: Timestamp) -> float:
    """The reverse of `timestamp`; times that no calendar has become the nearest that one has."""
    return min(max(float(stamp.seconds) + stamp.nanos / 1_000_000_000, 0.0), _LAST_SECOND)


def text(value: str | None) -> StringValue | None:
    """A wrapped string; None stays absent."""
    return None if value is None else StringValue(value=value)


def unwrapped(message: object, field: str) -> str | None:
    """The value of a wrapped string field, or None if it is absent."""
    return getattr(message, field).value if message.HasField(field) else None  # type: ignore[attr-defined]


def encode(now: float, *, id: int = _NO_ID, **kind: object) -> bytes:
    """A history event of the one given kind, stamped with the time `now`."""
    event = pb.HistoryEvent(eventId=id, timestamp=timestamp(now), **kind)  # type: ignore[arg-type]
    return event.SerializeToString()


def turn_started(now: float) -> bytes:
    """Begins every turn: the time that orchestrator code sees."""
    return encode(now, orchestratorStarted=pb.OrchestratorStartedEvent())


def turn_completed(now: float) -> bytes:
    """Ends every turn."""
    return encode(now, orchestratorCompleted=pb.OrchestratorCompletedEvent())


def timer_fired(now: float, timer_id: int, fire_at: float) -> bytes:
    """A durable timer is due."""
    fired = pb.TimerFiredEvent(timerId=timer_id, fireAt=timestamp(fire_at))
    return encode(now, timerFired=fired)


def event_raised(now: float, name: str, value: str | None) -> bytes:
    """Somebody sent an external event."""
    return encode(now, eventRaised=pb.EventRaisedEvent(name=name, input=text(value)))


def terminated(now: float, output: str | None, *, recursive: bool) -> bytes:
    """Somebody ends the instance."""
    event = pb.ExecutionTerminatedEvent(input=text(output), recurse=recursive)
    return encode(now, executionTerminated=event)


def execution_completed(
    now: float, status: int, output: str | None, failure: pb.TaskFailureDetails | None
) -> bytes:
    """The last event of a finished instance."""
    event = pb.ExecutionCompletedEvent(
        orchestrationStatus=pb.OrchestrationStatus.Name(status), result=text(output), failureDetails=failure
    )
    return encode(now, executionCompleted=event)


def child_finished(
    now: float, task_id: int, output: str | None, failure: pb.TaskFailureDetails | None
) -> tuple[str, bytes]:
    """What a parent learns of its sub-orchestration: kind and event."""
    if failure is None:
        completed = pb.SubOrchestrationInstanceCompletedEvent(taskScheduledId=task_id, result=text(output))
        kind = "subOrchestrationInstanceCompleted"
        return kind, encode(now, subOrchestrationInstanceCompleted=completed)
    failed = pb.SubOrchestrationInstanceFailedEvent(taskScheduledId=task_id, failureDetails=failure)
    return "subOrchestrationInstanceFailed", encode(now, subOrchestrationInstanceFailed=failed)
