"""The gRPC service for workers outside this process: work items on a stream, answers by token."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Any

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub.activities import ActivityWork
from localhost.taskhub.core import Core
from localhost.taskhub.dispatch import ACTIVITY, BATCH, TURN, Work
from localhost.taskhub.rpc import Context, answers
from localhost.taskhub.work import ActivityOutcome

_PING_SECONDS = 30.0
_UNLIMITED = 1_000
_STREAMED_BYTES = 1_000_000  # workers that can do so fetch longer histories in pieces

type _Accepted = dict[str, frozenset[str]] | None


class WorkerStream:
    """One worker's stream of work items. See `dispatch.Consumer`."""

    exclusive = False

    def __init__(
        self, request: pb.GetWorkItemsRequest, tokens: dict[str, tuple["WorkerStream", Work]]
    ) -> None:
        self.items: asyncio.Queue[pb.WorkItem] = asyncio.Queue()
        self._tokens = tokens
        self._held: dict[str, str] = {}
        self._free = {
            TURN: request.maxConcurrentOrchestrationWorkItems or _UNLIMITED,
            ACTIVITY: request.maxConcurrentActivityWorkItems or _UNLIMITED,
            BATCH: request.maxConcurrentEntityWorkItems or _UNLIMITED,
        }
        self._streams_history = pb.WORKER_CAPABILITY_HISTORY_STREAMING in request.capabilities
        filters = request.workItemFilters if request.HasField("workItemFilters") else None
        self._accepted: dict[str, _Accepted] = {
            TURN: None if filters is None else _versions(filters.orchestrations),
            ACTIVITY: None if filters is None else _versions(filters.activities),
            BATCH: None if filters is None else {entity.name: frozenset() for entity in filters.entities},
        }

    def free(self, kind: str) -> bool:
        """Whether the worker wants another one of this kind."""
        return self._free[kind] > 0

    def accepts(self, work: Work) -> bool:
        """Whether the worker's filters, if it has any, let it through."""
        accepted = self._accepted[work.kind]
        if accepted is None:
            return True
        versions = accepted.get(work.name)
        return versions is not None and (not versions or work.version in versions)

    def take(self, work: Work, request: Any) -> None:
        """Send it to the worker, under a token that is good for one answer."""
        token = uuid.uuid4().hex
        self._tokens[token] = (self, work)
        self._held[token] = work.kind
        self._free[work.kind] -= 1
        item = _item(work, request, token)
        if self._streams_history and work.kind == TURN and len(request) > _STREAMED_BYTES:
            item.orchestratorRequest.ClearField("pastEvents")
            item.orchestratorRequest.requiresHistoryStreaming = True
        self.items.put_nowait(item)

    def settle(self, token: str) -> None:
        """The worker has answered."""
        self._free[self._held.pop(token)] += 1

    def break_off(self) -> None:
        """The stream is gone: everything it has goes to others."""
        for token in list(self._held):
            _, work = self._tokens.pop(token)
            work.abandon()
        self._held.clear()


class WorkerService:
    """Methods of TaskHubSidecarService that workers call."""

    _core: Core
    _tokens: dict[str, tuple[WorkerStream, Work]]
    _partial: dict[str, list[pb.OrchestratorAction]]

    async def GetWorkItems(
        self, request: pb.GetWorkItemsRequest, context: Context
    ) -> AsyncIterator[pb.WorkItem]:
        """Work for as long as the stream lasts; a ping now and then when there is none."""
        stream = WorkerStream(request, self._tokens)
        self._core.dispatch.attach(stream)
        try:
            while True:
                try:
                    item = await asyncio.wait_for(stream.items.get(), _PING_SECONDS)
                except TimeoutError:
                    item = pb.WorkItem(healthPing=pb.HealthPing())
                yield item
        finally:
            self._core.dispatch.detach(stream)
            stream.break_off()

    @answers
    async def CompleteOrchestratorTask(
        self, request: pb.OrchestratorResponse, context: Context
    ) -> pb.CompleteTaskResponse:
        """What an orchestrator decided; possibly in several parts."""
        if request.isPartial:
            self._partial.setdefault(request.completionToken, []).extend(request.actions)
            return pb.CompleteTaskResponse()
        earlier = self._partial.pop(request.completionToken, None)
        if earlier:
            actions = [*earlier, *request.actions]
            del request.actions[:]
            request.actions.extend(actions)
        if request.requiresHistory:  # every request has it: the worker shall try again
            self._abandon(request.completionToken)
        else:
            await self._finish(request.completionToken, request.SerializeToString())
        return pb.CompleteTaskResponse()

    @answers
    async def CompleteActivityTask(
        self, request: pb.ActivityResponse, context: Context
    ) -> pb.CompleteTaskResponse:
        """The result of an activity."""
        if request.HasField("failureDetails"):
            outcome = ActivityOutcome(failure=request.failureDetails.SerializeToString())
        else:
            outcome = ActivityOutcome(result=request.result.value if request.HasField("result") else None)
        await self._finish(request.completionToken, outcome)
        return pb.CompleteTaskResponse()

    @answers
    async def CompleteEntityTask(
        self, request: pb.EntityBatchResult, context: Context
    ) -> pb.CompleteTaskResponse:
        """The results of a batch of operations."""
        await self._finish(request.completionToken, request.SerializeToString())
        return pb.CompleteTaskResponse()

    async def AbandonTaskOrchestratorWorkItem(
        self, request: pb.AbandonOrchestrationTaskRequest, context: Context
    ) -> pb.AbandonOrchestrationTaskResponse:
        """The worker gives a turn back."""
        self._abandon(request.completionToken)
        return pb.AbandonOrchestrationTaskResponse()

    async def AbandonTaskActivityWorkItem(
        self, request: pb.AbandonActivityTaskRequest, context: Context
    ) -> pb.AbandonActivityTaskResponse:
        """The worker gives an activity back."""
        self._abandon(request.completionToken)
        return pb.AbandonActivityTaskResponse()

    async def AbandonTaskEntityWorkItem(
        self, request: pb.AbandonEntityTaskRequest, context: Context
    ) -> pb.AbandonEntityTaskResponse:
        """The worker gives a batch back."""
        self._abandon(request.completionToken)
        return pb.AbandonEntityTaskResponse()

    async def _finish(self, token: str, answer: Any) -> None:
        work = self._settle(token)
        if work is not None:
            self._core.done(work, answer)
            await self._core.journal.durable()

    def _abandon(self, token: str) -> None:
        work = self._settle(token)
        if work is not None:
            work.abandon()

    def _settle(self, token: str) -> Work | None:
        """The work of a token that has not been answered yet; late and repeated answers find none."""
        found = self._tokens.pop(token, None)
        if found is None:
            return None
        stream, work = found
        stream.settle(token)
        self._core.dispatch.wake()
        return work


def _versions(filters: Iterable[pb.OrchestrationFilter | pb.ActivityFilter]) -> dict[str, frozenset[str]]:
    accepted: dict[str, frozenset[str]] = {}
    for given in filters:
        accepted[given.name] = accepted.get(given.name, frozenset()) | frozenset(given.versions)
    return accepted


def _item(work: Work, request: Any, token: str) -> pb.WorkItem:
    item = pb.WorkItem(completionToken=token)
    if isinstance(work, ActivityWork):
        item.activityRequest.CopyFrom(_activity_request(work))
    elif work.kind == TURN:
        item.orchestratorRequest.MergeFromString(request)
    else:
        item.entityRequest.MergeFromString(request)
    return item


def _activity_request(work: ActivityWork) -> pb.ActivityRequest:
    activity = work.activity
    scheduled = pb.TaskScheduledEvent.FromString(activity.event)
    request = pb.ActivityRequest(
        name=scheduled.name,
        taskId=activity.task_id,
        orchestrationInstance=pb.OrchestrationInstance(instanceId=activity.instance_id),
        tags=dict(scheduled.tags),
    )
    if scheduled.HasField("version"):
        request.version.CopyFrom(scheduled.version)
    if scheduled.HasField("input"):
        request.input.CopyFrom(scheduled.input)
    if scheduled.HasField("parentTraceContext"):
        request.parentTraceContext.CopyFrom(scheduled.parentTraceContext)
    return request
