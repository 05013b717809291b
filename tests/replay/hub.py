"""Runs the orchestrators on Microsoft's engine, with activities that answer from a script."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from durabletask.client import TaskHubGrpcClient
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.task import ActivityContext
from durabletask.testing import create_test_backend
from durabletask.worker import TaskHubGrpcWorker
from google.protobuf.json_format import MessageToDict

from activities.contract import NOTIFY, RUN_CHUNKS, RUN_SEGMENT, ChunksOutcome, Next, Outcome, Then
from localhost.services.ports import free_port
from orchestrators.chunk_run import chunk_run
from orchestrators.dispatch_page import dispatch_page
from orchestrators.names import CHUNK_RUN, DISPATCH_PAGE, WAKE, WORKFLOW_RUN, approval_event
from orchestrators.workflow_run import workflow_run

HOST = Path(__file__).resolve().parents[2] / "host.json"
LONG_SECONDS = 3600.0
CHILD = "01a1f000-0000-7000-8000-000000000001"
"""The run of every nested one."""

ORCHESTRATORS = {WORKFLOW_RUN: workflow_run, DISPATCH_PAGE: dispatch_page, CHUNK_RUN: chunk_run}

type Script = Sequence[Outcome | ChunksOutcome | Exception]
"""What the activities answer, in order. A nested run ends at once, like chunks that nothing is said of."""


def default_version() -> str:
    """The version that new orchestrations get."""
    version: str = json.loads(HOST.read_text())["extensions"]["durableTask"]["defaultVersion"]
    return version


class Hub:
    """An in-memory task hub whose activities answer from a script."""

    def __init__(self, port: int) -> None:
        self.asked: list[tuple[str, int]] = []
        self.script: list[Outcome | Exception] = []
        self.chunks: list[ChunksOutcome] = []
        self.told = 0
        self.mute = False
        self._worker = cast(Any, TaskHubGrpcWorker(host_address=f"localhost:{port}"))
        for name, orchestrator in ORCHESTRATORS.items():
            self._worker._registry.add_named_orchestrator(name, orchestrator)
        self._worker._registry.add_named_activity(RUN_SEGMENT, self._segment)
        self._worker._registry.add_named_activity(RUN_CHUNKS, self._chunks)
        self._worker._registry.add_named_activity(NOTIFY, self._notify)
        self._client = TaskHubGrpcClient(host_address=f"localhost:{port}")
        self._worker.start()

    def history(self, instance: str) -> list[dict[str, Any]]:
        """The instance's history events as JSON-ready data, without stack traces: those name folders."""
        request = pb.StreamInstanceHistoryRequest(instanceId=instance)
        stream = cast(Any, self._client)._stub.StreamInstanceHistory(request)
        return [_traceless(MessageToDict(event)) for chunk in stream for event in chunk.events]

    def run(self, script: Script, **given: int) -> Any:
        """Run the orchestrator against the script; returns its final state. Waits without end, and of hours,
        are ended by a wake-up; those for people by the first decision, unless they have a time."""
        self.chunks = [answer for answer in script if isinstance(answer, ChunksOutcome)]
        self.script = [answer for answer in script if not isinstance(answer, ChunksOutcome)]
        instance = self._client.schedule_new_orchestration(
            WORKFLOW_RUN, input={"run_id": "r1", **given}, version=default_version()
        )
        return self._client.wait_for_orchestration_completion(instance, timeout=30)

    def stop(self) -> None:
        """Stop the worker."""
        self._worker.stop()
        self._client.close()

    def _segment(self, context: ActivityContext, given: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((given["run_id"], given["segment"]))
        if given["run_id"] == CHILD:
            return Outcome(Next.ENDED, 0, state="SUCCEEDED").to_dict()
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer.approvals and not answer.wait_seconds:
            event = approval_event(answer.approvals[0])
            self._client.raise_orchestration_event(context.orchestration_id, event)
        elif (answer.next is Next.SUSPENDED and not answer.approvals) or answer.wait_seconds >= LONG_SECONDS:
            self._client.raise_orchestration_event(context.orchestration_id, WAKE)
        return answer.to_dict()

    def _notify(self, _context: ActivityContext, _given: dict[str, Any]) -> dict[str, Any]:
        self.told += 1
        if self.mute:
            raise ConnectionError("no mail today")
        return {}

    def _chunks(self, _context: ActivityContext, _given: dict[str, Any]) -> dict[str, Any]:
        return (self.chunks.pop(0) if self.chunks else ChunksOutcome(Then.DONE)).to_dict()


def _traceless(value: Any) -> Any:
    """The value without stack traces at any depth."""
    if isinstance(value, dict):
        return {name: _traceless(part) for name, part in value.items() if name != "stackTrace"}
    return [_traceless(part) for part in value] if isinstance(value, list) else value


def below(history: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The last sub-orchestration of each name that a history began: its instance id."""
    made = [event.get("subOrchestrationInstanceCreated") for event in history]
    return {str(one["name"]): str(one["instanceId"]) for one in made if one is not None}


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub of its own, stopped at the end."""
    port = free_port()
    backend = create_test_backend(port=port)
    hub = Hub(port)
    try:
        yield hub
    finally:
        hub.stop()
        backend.stop()


def pretty(events: list[dict[str, Any]]) -> str:
    """How histories are stored."""
    return json.dumps(events, indent=1, sort_keys=True) + "\n"
