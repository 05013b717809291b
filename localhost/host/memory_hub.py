"""A task hub that forgets: durabletask's in-memory test backend, driven over its public gRPC service."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from durabletask.entities import EntityInstanceId
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as service
from durabletask.testing.in_memory_backend import InMemoryOrchestrationBackend

from localhost.host.durable import ActivityItem, Dispatcher
from localhost.host.settings import DurableSettings

_CLIENT_THREADS = 64  # each waiting client call and the work item stream holds one
_FINISHED = (
    pb.ORCHESTRATION_STATUS_COMPLETED,
    pb.ORCHESTRATION_STATUS_FAILED,
    pb.ORCHESTRATION_STATUS_TERMINATED,
)
_UNFINISHED = (
    pb.ORCHESTRATION_STATUS_PENDING,
    pb.ORCHESTRATION_STATUS_RUNNING,
    pb.ORCHESTRATION_STATUS_SUSPENDED,
)
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class _Backend(InMemoryOrchestrationBackend):
    """The backend with two rules of the Functions extension that it lacks: default version and id reuse."""

    def __init__(self, settings: DurableSettings) -> None:
        super().__init__(max_history_size=1_000_000)
        self._settings = settings

    def StartInstance(
        self, request: pb.CreateInstanceRequest, context: grpc.ServicerContext
    ) -> pb.CreateInstanceResponse:
        if not request.HasField("version") and self._settings.default_version:
            request.version.value = self._settings.default_version
        if not request.orchestrationIdReusePolicy.replaceableStatus:
            replaceable = _FINISHED + (_UNFINISHED if self._settings.replace_running else ())
            request.orchestrationIdReusePolicy.replaceableStatus.extend(replaceable)
        return super().StartInstance(request, context)

    def _create_instance_internal(
        self, instance_id: str, name: str, encoded_input: str | None = None, version: str | None = None
    ) -> None:
        super()._create_instance_internal(
            instance_id, name, encoded_input, version or self._settings.default_version
        )


class MemoryHub:
    """Implements `durable.Hub`. Everything it holds is gone when the process ends."""

    def __init__(self, settings: DurableSettings) -> None:
        self._backend = _Backend(settings)
        self._server = grpc.server(ThreadPoolExecutor(_CLIENT_THREADS, "hub-grpc"), options=_UNLIMITED)
        self._address = ""
        self._work: set[asyncio.Task[None]] = set()
        self._dispatching: asyncio.Task[None] | None = None

    async def open(self) -> str:
        """See `durable.Hub`."""
        service.add_TaskHubSidecarServiceServicer_to_server(self._backend, self._server)  # type: ignore[no-untyped-call]
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self._address = f"127.0.0.1:{port}"
        return self._address

    async def run(self, dispatcher: Dispatcher) -> None:
        """See `durable.Hub`."""
        self._dispatching = asyncio.current_task()
        async with grpc.aio.insecure_channel(self._address, options=_UNLIMITED) as channel:
            stub = service.TaskHubSidecarServiceStub(channel)  # type: ignore[no-untyped-call]
            try:
                async for item in stub.GetWorkItems(pb.GetWorkItemsRequest()):
                    task = asyncio.create_task(_handle(dispatcher, stub, item))
                    self._work.add(task)
                    task.add_done_callback(self._work.discard)
            finally:
                await asyncio.gather(*self._work)

    async def close(self) -> None:
        """See `durable.Hub`."""
        if self._dispatching is not None:
            self._dispatching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._dispatching
        self._backend.stop()
        await asyncio.to_thread(self._server.stop(grace=1).wait)


async def _handle(dispatcher: Dispatcher, stub: Any, item: pb.WorkItem) -> None:
    handlers: dict[str, Callable[[Dispatcher, Any, pb.WorkItem], Awaitable[None]]] = {
        "orchestratorRequest": _orchestrate,
        "activityRequest": _run_activity,
        "entityRequestV2": _run_entity_batch,
    }
    kind = item.WhichOneof("request")
    if kind in handlers:
        await handlers[kind](dispatcher, stub, item)


async def _orchestrate(dispatcher: Dispatcher, stub: Any, item: pb.WorkItem) -> None:
    request = item.orchestratorRequest
    started = [
        event.executionStarted.name
        for events in (request.pastEvents, request.newEvents)
        for event in events
        if event.HasField("executionStarted")
    ]
    response = pb.OrchestratorResponse.FromString(
        await dispatcher.orchestrate(started[-1], request.SerializeToString())
    )
    response.completionToken = item.completionToken
    await stub.CompleteOrchestratorTask(response)


async def _run_activity(dispatcher: Dispatcher, stub: Any, item: pb.WorkItem) -> None:
    request = item.activityRequest
    instance_id = request.orchestrationInstance.instanceId
    outcome = await dispatcher.run_activity(
        ActivityItem(
            name=request.name,
            input=request.input.value if request.HasField("input") else None,
            instance_id=instance_id,
            task_id=request.taskId,
            trace_parent=request.parentTraceContext.traceParent,
            trace_state=request.parentTraceContext.traceState.value,
        )
    )
    response = pb.ActivityResponse(
        instanceId=instance_id,
        taskId=request.taskId,
        result=helpers.get_string_value(outcome.result),
        completionToken=item.completionToken,
    )
    if outcome.failure is not None:
        response.failureDetails.MergeFromString(outcome.failure)
        if not response.failureDetails.errorMessage:  # the backend would take it for a success
            response.failureDetails.errorMessage = response.failureDetails.errorType
    await stub.CompleteActivityTask(response)


async def _run_entity_batch(dispatcher: Dispatcher, stub: Any, item: pb.WorkItem) -> None:
    request, operations = helpers.convert_to_entity_batch_request(item.entityRequestV2)
    name = EntityInstanceId.parse(request.instanceId).entity
    result = pb.EntityBatchResult.FromString(
        await dispatcher.run_entity_batch(name, request.SerializeToString())
    )
    result.completionToken = item.completionToken
    result.operationInfos.extend(operations[: len(result.results)])
    await stub.CompleteEntityTask(result)
