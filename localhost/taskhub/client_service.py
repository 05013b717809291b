"""The gRPC service for clients: orchestrations."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime

from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BoolValue

from localhost.taskhub import clients, rows
from localhost.taskhub.clients import Clients
from localhost.taskhub.entity_clients import EntityClients
from localhost.taskhub.events import seconds, text, unwrapped
from localhost.taskhub.purging import Purged, Purging
from localhost.taskhub.reader import Filter
from localhost.taskhub.rpc import Context, answers
from localhost.taskhub.starts import NewInstance

_PAGE = 100
_HISTORY_CHUNK = 500

type _View = tuple[pb.OrchestrationState, str | None] | None


class ClientService:
    """Methods of TaskHubSidecarService that clients call about orchestrations."""

    _clients: Clients
    _purging: Purging
    _entities: EntityClients

    async def Hello(self, request: Empty, context: Context) -> Empty:
        """Whether the service is there."""
        return Empty()

    @answers
    async def StartInstance(
        self, request: pb.CreateInstanceRequest, context: Context
    ) -> pb.CreateInstanceResponse:
        """Start an orchestration."""
        policy = None
        if request.HasField("orchestrationIdReusePolicy"):
            policy = frozenset(int(status) for status in request.orchestrationIdReusePolicy.replaceableStatus)
        at = request.scheduledStartTimestamp if request.HasField("scheduledStartTimestamp") else None
        wanted = NewInstance(
            id=request.instanceId,
            name=request.name,
            input=unwrapped(request, "input"),
            version=unwrapped(request, "version"),
            tags=dict(request.tags),
            at=None if at is None else seconds(at),
            trace=request.parentTraceContext if request.HasField("parentTraceContext") else None,
            execution_id=unwrapped(request, "executionId"),
        )
        return pb.CreateInstanceResponse(instanceId=await self._clients.start(wanted, policy))

    @answers
    async def GetInstance(self, request: pb.GetInstanceRequest, context: Context) -> pb.GetInstanceResponse:
        """The state of an orchestration."""
        return _response(await self._clients.get(request.instanceId), request)

    @answers
    async def WaitForInstanceStart(
        self, request: pb.GetInstanceRequest, context: Context
    ) -> pb.GetInstanceResponse:
        """The state, once the first turn has taken place."""
        return _response(await self._clients.wait(request.instanceId, clients.started), request)

    @answers
    async def WaitForInstanceCompletion(
        self, request: pb.GetInstanceRequest, context: Context
    ) -> pb.GetInstanceResponse:
        """The state, once it is final."""
        return _response(await self._clients.wait(request.instanceId, clients.finished), request)

    @answers
    async def RaiseEvent(self, request: pb.RaiseEventRequest, context: Context) -> pb.RaiseEventResponse:
        """Send an external event."""
        await self._clients.raise_event(request.instanceId, request.name, unwrapped(request, "input"))
        return pb.RaiseEventResponse()

    @answers
    async def TerminateInstance(self, request: pb.TerminateRequest, context: Context) -> pb.TerminateResponse:
        """End an orchestration."""
        output = unwrapped(request, "output")
        await self._clients.terminate(request.instanceId, output, recursive=request.recursive)
        return pb.TerminateResponse()

    @answers
    async def SuspendInstance(self, request: pb.SuspendRequest, context: Context) -> pb.SuspendResponse:
        """Halt an orchestration."""
        await self._clients.suspend(request.instanceId, unwrapped(request, "reason"))
        return pb.SuspendResponse()

    @answers
    async def ResumeInstance(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:
        """Let a suspended orchestration go on."""
        await self._clients.resume(request.instanceId, unwrapped(request, "reason"))
        return pb.ResumeResponse()

    @answers
    async def RewindInstance(
        self, request: pb.RewindInstanceRequest, context: Context
    ) -> pb.RewindInstanceResponse:
        """Let a failed orchestration go on from where it failed."""
        await self._clients.rewind(request.instanceId, unwrapped(request, "reason"))
        return pb.RewindInstanceResponse()

    @answers
    async def RestartInstance(
        self, request: pb.RestartInstanceRequest, context: Context
    ) -> pb.RestartInstanceResponse:
        """Start a finished orchestration again."""
        new_id = request.restartWithNewInstanceId
        started = await self._clients.restart(request.instanceId, new_id=new_id)
        return pb.RestartInstanceResponse(instanceId=started)

    @answers
    async def QueryInstances(
        self, request: pb.QueryInstancesRequest, context: Context
    ) -> pb.QueryInstancesResponse:
        """One page of the orchestrations that match."""
        query = request.query
        wanted = Filter(
            statuses=_statuses(query.runtimeStatus),
            created_from=_time(query.createdTimeFrom) if query.HasField("createdTimeFrom") else None,
            created_to=_time(query.createdTimeTo) if query.HasField("createdTimeTo") else None,
            prefix=query.instanceIdPrefix.value,
        )
        token = unwrapped(query, "continuationToken")
        page = await self._clients.query(wanted, token, query.maxInstanceCount or _PAGE)
        views = [
            _state(rows.state(found), found.input, payloads=query.fetchInputsAndOutputs)
            for found in page.items
        ]
        return pb.QueryInstancesResponse(orchestrationState=views, continuationToken=text(page.next))

    @answers
    async def ListInstanceIds(
        self, request: pb.ListInstanceIdsRequest, context: Context
    ) -> pb.ListInstanceIdsResponse:
        """One page of the ids of finished orchestrations."""
        wanted = Filter(
            statuses=_statuses(request.runtimeStatus),
            created_from=_time(request.completedTimeFrom) if request.HasField("completedTimeFrom") else None,
            created_to=_time(request.completedTimeTo) if request.HasField("completedTimeTo") else None,
        )
        token = unwrapped(request, "lastInstanceKey")
        page = await self._clients.finished_ids(wanted, token, request.pageSize or _PAGE)
        return pb.ListInstanceIdsResponse(instanceIds=page.items, lastInstanceKey=text(page.next))

    @answers
    async def PurgeInstances(
        self, request: pb.PurgeInstancesRequest, context: Context
    ) -> pb.PurgeInstancesResponse:
        """Remove finished orchestrations, or an entity."""
        purged = await self._purge(request)
        return pb.PurgeInstancesResponse(
            deletedInstanceCount=purged.count, isComplete=BoolValue(value=purged.complete)
        )

    async def _purge(self, request: pb.PurgeInstancesRequest) -> Purged:
        if request.HasField("purgeInstanceFilter"):
            given = request.purgeInstanceFilter
            wanted = Filter(
                statuses=_statuses(given.runtimeStatus),
                created_from=_time(given.createdTimeFrom) if given.HasField("createdTimeFrom") else None,
                created_to=_time(given.createdTimeTo) if given.HasField("createdTimeTo") else None,
            )
            limit = given.timeout.ToTimedelta().total_seconds() if given.HasField("timeout") else None
            return await self._purging.matching(wanted, recursive=request.recursive, seconds=limit)
        if request.instanceId.startswith("@"):
            return Purged(await self._entities.purge(request.instanceId))
        ids = [request.instanceId] if request.instanceId else list(request.instanceBatch.instanceIds)
        return await self._purging.instances(ids, recursive=request.recursive)

    async def StreamInstanceHistory(
        self, request: pb.StreamInstanceHistoryRequest, context: Context
    ) -> AsyncIterator[pb.HistoryChunk]:
        """The events of an orchestration, in order."""
        for chunk in await self._history(request, context):
            yield chunk

    @answers
    async def _history(
        self, request: pb.StreamInstanceHistoryRequest, context: Context
    ) -> list[pb.HistoryChunk]:
        events = await self._clients.history(request.instanceId)
        starts = range(0, len(events), _HISTORY_CHUNK)
        return [pb.HistoryChunk(events=events[start : start + _HISTORY_CHUNK]) for start in starts]

    async def CreateTaskHub(
        self, request: pb.CreateTaskHubRequest, context: Context
    ) -> pb.CreateTaskHubResponse:
        """The hub exists as long as it is open."""
        return pb.CreateTaskHubResponse()

    @answers
    async def SkipGracefulOrchestrationTerminations(
        self, request: pb.SkipGracefulOrchestrationTerminationsRequest, context: Context
    ) -> pb.SkipGracefulOrchestrationTerminationsResponse:
        """End instances at once; those that do not exist or have finished come back."""
        left = []
        for instance_id in request.instanceBatch.instanceIds:
            view = await self._clients.get(instance_id)
            if view is None or view[0].HasField("completedTimestamp"):
                left.append(instance_id)
            else:
                await self._clients.terminate(instance_id, unwrapped(request, "reason"), recursive=False)
        return pb.SkipGracefulOrchestrationTerminationsResponse(unterminatedInstanceIds=left)


def _response(view: _View, request: pb.GetInstanceRequest) -> pb.GetInstanceResponse:
    if view is None:
        return pb.GetInstanceResponse(exists=False)
    state = _state(*view, payloads=request.getInputsAndOutputs)
    return pb.GetInstanceResponse(exists=True, orchestrationState=state)


def _state(state: pb.OrchestrationState, input_value: str | None, *, payloads: bool) -> pb.OrchestrationState:
    if not payloads:
        state.ClearField("output")
    elif input_value is not None:
        state.input.value = input_value
    return state


def _statuses(given: Iterable[pb.OrchestrationStatus]) -> list[int]:
    return [int(status) for status in given]


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
