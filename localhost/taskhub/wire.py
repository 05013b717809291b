"""History as bytes that are already encoded, so that a request to a worker is a concatenation.

A history event is kept as one field of an `OrchestratorRequest`: encoded fields of a message may simply be
concatenated. https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterable

from durabletask.internal import orchestrator_service_pb2 as pb

_PAST_EVENTS = b"\x1a"  # field 3, length-delimited
_NEW_EVENTS = b"\x22"  # field 4, length-delimited


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def past(events: Iterable[bytes]) -> bytes:
    """Encoded events as a piece of history."""
    return b"".join([_PAST_EVENTS + _varint(len(event)) + event for event in events])


def new(events: Iterable[bytes]) -> bytes:
    """Encoded events as the news of a request."""
    return b"".join([_NEW_EVENTS + _varint(len(event)) + event for event in events])


def request(
    instance_id: str, execution_id: str, history: Iterable[bytes], news: bytes, trace: bytes
) -> bytes:
    """An encoded OrchestratorRequest. `trace` is an encoded OrchestrationTraceContext or empty."""
    head = pb.OrchestratorRequest(instanceId=instance_id)
    head.executionId.value = execution_id
    if trace:
        head.orchestrationTraceContext.MergeFromString(trace)
    return b"".join([head.SerializeToString(), *history, news])


def history_events(history: Iterable[bytes]) -> list[pb.HistoryEvent]:
    """Pieces of history as messages."""
    return list(pb.OrchestratorRequest.FromString(b"".join(history)).pastEvents)
