"""The run orchestrator on Microsoft's engine: its decisions, and that replaying them changes nothing."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.task import ActivityContext
from durabletask.testing import create_test_backend
from durabletask.worker import TaskHubGrpcWorker

from activities.contract import RUN_SEGMENT, Next, Outcome
from localhost.services.ports import free_port
from orchestrators.names import WORKFLOW_RUN
from orchestrators.workflow_run import workflow_run


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

    def run(self, script: Sequence[Outcome | Exception]) -> Any:
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


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub of this test alone."""
    port = free_port()
    backend = create_test_backend(port=port)
    made = Hub(port)
    yield made
    made.stop()
    backend.stop()


ENDED = Outcome(Next.ENDED, 0, state="SUCCEEDED")


def test_segments_follow_each_other_until_the_run_has_ended(hub: Hub) -> None:
    state = hub.run([Outcome(Next.CONTINUE, 1), Outcome(Next.CONTINUE, 1), Outcome(Next.CONTINUE, 2), ENDED])
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert json.loads(state.serialized_output) == {"state": "SUCCEEDED"}
    assert hub.asked == [("r1", 0), ("r1", 1), ("r1", 1), ("r1", 2)]


def test_a_retry_waits_in_a_durable_timer_and_asks_for_the_same_segment(hub: Hub) -> None:
    hub.run([Outcome(Next.CONTINUE, 1), Outcome(Next.RETRY, 1, wait_seconds=0.05), ENDED])
    assert hub.asked == [("r1", 0), ("r1", 1), ("r1", 1)]


def test_an_activity_that_could_record_nothing_is_repeated(hub: Hub) -> None:
    state = hub.run([ConnectionError("the database does not answer"), ENDED])
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert hub.asked == [("r1", 0), ("r1", 0)]
