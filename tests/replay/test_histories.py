"""Histories of every release replay under today's orchestrators without a different decision."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.durable_functions.orchestrator import Orchestrator
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.json_format import ParseDict

from kernel.release import VERSION
from tests.replay.hub import ORCHESTRATORS
from tests.replay.record import HISTORIES, SHAPES

PAYLOADS = (
    ("taskScheduled", "input"),
    ("taskCompleted", "result"),
    ("executionStarted", "input"),
    ("subOrchestrationInstanceCreated", "input"),
    ("subOrchestrationInstanceCompleted", "result"),
)
FILES = sorted(HISTORIES.glob("*/*.json"))


def events_of(path: Path) -> list[pb.HistoryEvent]:
    """The recorded events."""
    return [ParseDict(event, pb.HistoryEvent()) for event in json.loads(path.read_text())]


def turns(events: list[pb.HistoryEvent]) -> list[tuple[list[pb.HistoryEvent], list[pb.HistoryEvent]]]:
    """What came before and what was new, for every turn of the orchestrator."""
    starts = [index for index, event in enumerate(events) if event.HasField("orchestratorStarted")]
    ends = [*starts[1:], len(events)]
    return [(events[:start], events[start:end]) for start, end in zip(starts, ends, strict=True)]


def replay(past: list[pb.HistoryEvent], new: list[pb.HistoryEvent], orchestrator: Any = None) -> Any:
    """Run one turn through the Functions worker; returns its response."""
    outcomes = (
        "taskScheduled", "timerCreated", "subOrchestrationInstanceCreated", "executionCompleted",
        "orchestratorCompleted",
    )  # fmt: skip
    started = next(event for event in [*past, *new] if event.HasField("executionStarted"))
    orchestrator = orchestrator or ORCHESTRATORS[started.executionStarted.name]
    inputs = [event for event in new if event.WhichOneof("eventType") not in outcomes]
    request = pb.OrchestratorRequest(instanceId="replayed", pastEvents=past, newEvents=inputs)
    body = base64.b64encode(request.SerializeToString()).decode()
    answer = Orchestrator(orchestrator).handle(SimpleNamespace(body=body))  # type: ignore[arg-type]
    return pb.OrchestratorResponse.FromString(base64.b64decode(answer))


def decisions(events: list[pb.HistoryEvent]) -> list[tuple[str, str]]:
    """What the orchestrator decided, as recorded."""
    found = []
    for event in events:
        if event.HasField("taskScheduled"):
            found.append((event.taskScheduled.name, event.taskScheduled.input.value))
        elif event.HasField("subOrchestrationInstanceCreated"):
            made = event.subOrchestrationInstanceCreated
            found.append((made.name, made.input.value))
        elif event.HasField("timerCreated"):
            found.append(("timer", ""))
        elif event.HasField("executionCompleted"):
            found.append(("completed", event.executionCompleted.result.value))
    return found


def actions(response: Any) -> list[tuple[str, str]]:
    """What the orchestrator decides now."""
    found = []
    for action in response.actions:
        if action.HasField("scheduleTask"):
            found.append((action.scheduleTask.name, action.scheduleTask.input.value))
        elif action.HasField("createSubOrchestration"):
            made = action.createSubOrchestration
            found.append((made.name, made.input.value))
        elif action.HasField("createTimer"):
            found.append(("timer", ""))
        elif action.HasField("completeOrchestration"):
            found.append(("completed", action.completeOrchestration.result.value))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_turn_decides_as_recorded(path: Path) -> None:
    for past, new in turns(events_of(path)):
        recorded = decisions(new)
        if recorded:
            response = replay(past, new)
            assert actions(response) == recorded, response.actions


def test_this_release_has_a_history_of_every_shape() -> None:
    recorded = {path.stem.partition(".")[0] for path in (HISTORIES / VERSION).glob("*.json")}
    assert recorded == set(SHAPES)


def test_another_decision_is_noticed() -> None:
    def impatient(context: Any, given: dict[str, Any]) -> Any:
        yield context.call_activity("run_something_else", input=given)

    past, new = turns(events_of(HISTORIES / VERSION / "three_segments.json"))[-1]
    response = replay(past, new, impatient)
    [action] = response.actions
    assert action.completeOrchestration.orchestrationStatus == pb.ORCHESTRATION_STATUS_FAILED
    assert "nondeterminis" in action.completeOrchestration.failureDetails.errorType.casefold()


def test_history_holds_ids_counts_and_states_only() -> None:
    texts = [path.read_text() for path in FILES]
    assert texts
    payloads = [
        json.loads(event[kind][field])
        for text in texts
        for event in json.loads(text)
        for kind, field in PAYLOADS
        if kind in event
    ]
    allowed = {
        "run_id", "segment", "execution", "next", "wait_seconds", "state", "pages", "child",
        "child_execution", "run_execution", "step", "page", "first", "count", "positions", "alone", "then",
        "chunks", "batch", "width", "last", "size", "concurrency", "stopped", "approvals",
    }  # fmt: skip
    assert all(_names(payload) <= allowed for payload in payloads)


def test_history_names_no_folder_and_no_file() -> None:
    texts = [text for path in FILES for text in _texts(json.loads(path.read_text()))]
    assert "There is no run r1: nothing was executed." in texts
    assert [text for text in texts if re.search(r"[/\\]\w|\.py\b|Traceback", text)] == []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _names(payload: Any) -> set[str]:
    if isinstance(payload, dict):
        return set(payload).union(*map(_names, payload.values()))
    return set()
