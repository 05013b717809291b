"""A dispatcher that runs functions registered on a durabletask worker, in this process.

It borrows the worker's way of executing a work item and catches what would have gone out over gRPC, as the
Functions provider of durabletask does.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.worker import TaskHubGrpcWorker

from localhost.taskhub.work import ActivityItem, ActivityOutcome

_NOWHERE = "127.0.0.1:1"
_QUIET = logging.getLogger("tests.sdk_worker")


class _Catch:
    """The service's stub, as far as executing a work item calls it."""

    def __init__(self) -> None:
        self.answer: Any = None

    def _keep(self, answer: Any) -> None:
        self.answer = answer

    CompleteOrchestratorTask = CompleteActivityTask = CompleteEntityTask = _keep

    def AbandonTaskOrchestratorWorkItem(self, request: Any) -> None:
        """Leaves no answer."""


class SdkDispatcher:
    """See `localhost.taskhub.work.Dispatcher`. Without an executor everything runs on the loop itself."""

    def __init__(self, executor: Executor | None = None) -> None:
        self.worker = TaskHubGrpcWorker(host_address=_NOWHERE, logger=_QUIET)
        self._executor = executor

    async def orchestrate(self, name: str, request: bytes) -> bytes:
        """Run one turn."""
        return await self._run(self._orchestrate, request)

    async def run_activity(self, item: ActivityItem) -> ActivityOutcome:
        """Run an activity."""
        return await self._run(self._activity, item)

    async def run_entity_batch(self, name: str, request: bytes) -> bytes:
        """Run a batch of operations."""
        return await self._run(self._batch, request)

    async def _run[Q, A](self, work: Callable[[Q], A], request: Q) -> A:
        if self._executor is None:
            return work(request)
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, request)

    def _orchestrate(self, request: bytes) -> bytes:
        caught = _Catch()
        self.worker._execute_orchestrator(pb.OrchestratorRequest.FromString(request), caught, "")
        answer: bytes = caught.answer.SerializeToString()
        return answer

    def _activity(self, item: ActivityItem) -> ActivityOutcome:
        caught = _Catch()
        request = pb.ActivityRequest(
            name=item.name,
            taskId=item.task_id,
            orchestrationInstance=pb.OrchestrationInstance(instanceId=item.instance_id),
        )
        request.input.value = item.input or ""
        self.worker._execute_activity(request, caught, "")
        answer = caught.answer
        if answer.HasField("failureDetails"):
            return ActivityOutcome(failure=answer.failureDetails.SerializeToString())
        return ActivityOutcome(result=answer.result.value if answer.HasField("result") else None)

    def _batch(self, request: bytes) -> bytes:
        caught = _Catch()
        self.worker._execute_entity_batch(pb.EntityBatchRequest.FromString(request), caught, "")
        answer: bytes = caught.answer.SerializeToString()
        return answer
