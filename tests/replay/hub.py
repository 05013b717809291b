"""Runs the run orchestrator on Microsoft's engine, with activities that answer from a script."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from durabletask.client import TaskHubGrpcClient
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.task import ActivityContext
from durabletask.testing import create_test_backend
from durabletask.worker import TaskHubGrpcWorker
from google.protobuf.json_format import MessageToDict

from activities.contract import RUN_SEGMENT, Outcome
from localhost.services.ports import free_port
from orchestrators.names import WORKFLOW_RUN
from orchestrators.workflow_run import workflow_run

type Script = Sequence[Outcome | Exception]


class Hub:
    """An in-memory task hub whose `run_segment` answers from a script."""

    def __init__(self, port: int) -> None:
        self.asked: list[tuple[str, int]] = []
        self.script: list[Outcome | Exception] = []
        self._worker = cast(Any, TaskHubGrpcWorker(host_address=f"localhost:{port}"))
        self._worker._registry.add_named_orchestrator(WORKFLOW_RUN, workflow_run)
        self._worker._registry.add_named_activity(RUN_SEGMENT, self._segment)
        self._client = TaskHubGrpcClient(host_address=f"localhost:{port}")
        self._worker.start()

    def history(self, instance: str) -> list[dict[str, Any]]:
        """The instance's history events as JSON-ready data, without stack traces: those name folders."""
        request = pb.StreamInstanceHistoryRequest(instanceId=instance)
        stream = cast(Any, self._client)._stub.StreamInstanceHistory(request)
        events = [MessageToDict(event) for chunk in stream for event in chunk.events]
        for event in events:
            event.get("taskFailed", {}).get("failureDetails", {}).pop("stackTrace", None)
        return events

    def run(self, script: Script) -> Any:
        """Run the orchestrator against the script; returns its final state."""
        self.script = list(script)
        instance = self._client.schedule_new_orchestration(WORKFLOW_RUN, input={"run_id": "r1"})
        return self._client.wait_for_orchestration_completion(instance, timeout=30)

    def stop(self) -> None:
        """Stop the worker."""
        self._worker.stop()
        self._client.close()

    def _segment(self, _context: ActivityContext, given: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((given["run_id"], given["segment"]))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer.to_dict()


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
