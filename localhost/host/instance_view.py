"""Instances and entities of a task hub as JSON, in the words of the Durable HTTP API."""

import json
from datetime import UTC, datetime
from typing import Any

from azure.durable_functions.internal.compat.history_projection import project_history
from durabletask import history
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

_STATUS_NAMES = {
    pb.ORCHESTRATION_STATUS_RUNNING: "Running",
    pb.ORCHESTRATION_STATUS_COMPLETED: "Completed",
    pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW: "ContinuedAsNew",
    pb.ORCHESTRATION_STATUS_FAILED: "Failed",
    pb.ORCHESTRATION_STATUS_CANCELED: "Canceled",
    pb.ORCHESTRATION_STATUS_TERMINATED: "Terminated",
    pb.ORCHESTRATION_STATUS_PENDING: "Pending",
    pb.ORCHESTRATION_STATUS_SUSPENDED: "Suspended",
}
_STATUS_NUMBERS = {name.casefold(): number for number, name in _STATUS_NAMES.items()}

FINISHED = frozenset(
    {
        pb.ORCHESTRATION_STATUS_COMPLETED,
        pb.ORCHESTRATION_STATUS_FAILED,
        pb.ORCHESTRATION_STATUS_CANCELED,
        pb.ORCHESTRATION_STATUS_TERMINATED,
    }
)


def status_numbers(names: str) -> list[pb.OrchestrationStatus]:
    """The statuses that a comma-separated list names. Raises ValueError for a name that is none."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name.casefold() not in _STATUS_NUMBERS]
    if unknown:
        known = ", ".join(sorted(_STATUS_NAMES.values()))
        raise ValueError(f"'{unknown[0]}' is not a runtime status. The statuses are {known}.")
    return [_STATUS_NUMBERS[name.casefold()] for name in wanted]


def instance_view(state: pb.OrchestrationState, *, show_input: bool) -> dict[str, Any]:
    """One instance. The output of a failed one is the message of its failure."""
    failed = state.orchestrationStatus == pb.ORCHESTRATION_STATUS_FAILED
    output = state.failureDetails.errorMessage if failed else payload(state, "output")
    return {
        "name": state.name,
        "instanceId": state.instanceId,
        "runtimeStatus": _STATUS_NAMES[state.orchestrationStatus],
        "input": payload(state, "input") if show_input else None,
        "customStatus": payload(state, "customStatus"),
        "output": output,
        "createdTime": moment(state.createdTimestamp),
        "lastUpdatedTime": moment(state.lastUpdatedTimestamp),
    }


def entity_view(entity: pb.EntityMetadata) -> dict[str, Any]:
    """One entity of a list."""
    _, name, key = entity.instanceId.split("@", 2)
    return {
        "entityId": {"name": name, "key": key},
        "lastOperationTime": moment(entity.lastModifiedTime),
        "state": payload(entity, "serializedState"),
    }


def history_view(
    events: list[history.HistoryEvent], *, show_input: bool, show_output: bool
) -> list[dict[str, Any]]:
    """The history of an instance, with each completion merged into what it completes."""
    return project_history(events, show_input=show_input, show_history_output=show_output)


def payload(message: Any, field: str) -> Any:
    """A serialised payload as JSON; text that is not JSON as it is; None if the message has none."""
    if not message.HasField(field):
        return None
    text: str = getattr(message, field).value
    try:
        return json.loads(text)
    except ValueError:
        return text


def moment(stamp: Timestamp) -> str:
    """A time as the Durable HTTP API writes it."""
    return stamp.ToDatetime(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def timestamp(text: str) -> Timestamp:
    """The moment that an ISO 8601 text names, in UTC unless it says otherwise. Raises ValueError."""
    value = datetime.fromisoformat(text)
    stamp = Timestamp()
    stamp.FromDatetime(value if value.tzinfo else value.replace(tzinfo=UTC))
    return stamp
