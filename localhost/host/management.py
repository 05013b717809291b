"""The built-in HTTP API of Durable Functions, under /runtime/webhooks/durabletask.

Paths, parameters and status codes: https://learn.microsoft.com/azure/azure-functions/durable/durable-functions-http-api
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.helpers import get_string_value
from durabletask.internal.history_helpers import collect_history_events_async
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router

from localhost.host.durable import WEBHOOKS, ClientEndpoints
from localhost.host.functions import ORCHESTRATION
from localhost.host.instance_view import (
    FINISHED,
    entity_view,
    history_view,
    instance_view,
    payload,
    status_numbers,
    timestamp,
)
from localhost.host.local_only import local_only

_STATUS_OF = {
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 410,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
}
_RETRY_AFTER = "10"
_CONTINUATION = "x-ms-continuation-token"
_LONGEST_WAIT = 230.0
_DEFAULT_WAIT = 10.0

type Handler = Callable[[Request], Awaitable[Response]]


class _Refused(Exception):
    """The request cannot be done; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ManagementApi:
    """Answers management requests by calling the task hub as any client does."""

    def __init__(self, stub: Any, endpoints: ClientEndpoints, knows: Callable[[str, str], bool]) -> None:
        self._stub = stub
        self._endpoints = endpoints
        self._knows = knows

    def mount(self) -> Mount:
        """The API at its place, for callers on this machine only."""
        paths: list[tuple[str, str, Handler]] = [
            ("POST", "/orchestrators/{name}", self._start),
            ("POST", "/orchestrators/{name}/{instance_id}", self._start),
            ("GET", "/instances", self._list),
            ("DELETE", "/instances", self._purge_many),
            ("GET", "/instances/{instance_id}", self._status),
            ("DELETE", "/instances/{instance_id}", self._purge),
            ("POST", "/instances/{instance_id}/raiseEvent/{event}", self._raise_event),
            ("POST", "/instances/{instance_id}/terminate", self._terminate),
            ("POST", "/instances/{instance_id}/suspend", self._suspend),
            ("POST", "/instances/{instance_id}/resume", self._resume),
            ("POST", "/instances/{instance_id}/rewind", self._rewind),
            ("POST", "/instances/{instance_id}/restart", self._restart),
            ("GET", "/entities", self._list_entities),
            ("GET", "/entities/{name}", self._list_entities),
            ("GET", "/entities/{name}/{key}", self._entity),
            ("POST", "/entities/{name}/{key}", self._signal),
        ]
        routes = [Route(path, _answering(handler), methods=[method]) for method, path, handler in paths]
        return Mount(WEBHOOKS, app=local_only(Router(routes, redirect_slashes=False)))

    async def _start(self, request: Request) -> Response:
        name, body = request.path_params["name"], await _json_body(request)
        if not self._knows(ORCHESTRATION, name):
            raise _Refused(
                400, f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function."
            )
        create = pb.CreateInstanceRequest(
            name=name, instanceId=request.path_params.get("instance_id", ""), input=get_string_value(body)
        )
        instance_id: str = (await self._stub.StartInstance(create)).instanceId
        if "timeout" in request.query_params:
            finished = await self._wait(instance_id, _seconds(request.query_params["timeout"]))
            if finished is not None:
                return _finished_response(finished)
        return self._started(request, instance_id)

    def _started(self, request: Request, instance_id: str) -> Response:
        urls = self._endpoints.management_urls(_origin(request), instance_id)
        headers = {"location": urls["statusQueryGetUri"], "retry-after": _RETRY_AFTER}
        return JSONResponse(urls, status_code=202, headers=headers)

    async def _wait(self, instance_id: str, seconds: float) -> pb.OrchestrationState | None:
        try:
            answer = await self._stub.WaitForInstanceCompletion(
                pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True), timeout=seconds
            )
        except grpc.aio.AioRpcError as exc:
            if exc.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                return None
            raise
        return answer.orchestrationState if answer.exists else None

    async def _state(self, request: Request, *, unfinished: bool = False) -> pb.OrchestrationState:
        """The instance the request names. Refuses unknown ones, and finished ones if that matters."""
        instance_id = request.path_params["instance_id"]
        answer = await self._stub.GetInstance(
            pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True)
        )
        if not answer.exists:
            raise _Refused(404, f"No instance with ID '{instance_id}' was found.")
        if unfinished and answer.orchestrationState.orchestrationStatus in FINISHED:
            raise _Refused(410, f"Instance '{instance_id}' has finished; this cannot be done any more.")
        state: pb.OrchestrationState = answer.orchestrationState
        return state

    async def _status(self, request: Request) -> Response:
        state = await self._state(request)
        show_input = _flag(request, "showInput", default=True)
        view = instance_view(state, show_input=show_input)
        if _flag(request, "showHistory"):
            chunks = self._stub.StreamInstanceHistory(
                pb.StreamInstanceHistoryRequest(instanceId=state.instanceId)
            )
            view["historyEvents"] = history_view(
                await collect_history_events_async(chunks),
                show_input=show_input,
                show_output=_flag(request, "showHistoryOutput"),
            )
        if state.orchestrationStatus not in FINISHED:
            headers = {"location": str(request.url), "retry-after": _RETRY_AFTER}
            return JSONResponse(view, status_code=202, headers=headers)
        failed = state.orchestrationStatus == pb.ORCHESTRATION_STATUS_FAILED
        as_error = failed and _flag(request, "returnInternalServerErrorOnFailure")
        return JSONResponse(view, status_code=500 if as_error else 200)

    async def _list(self, request: Request) -> Response:
        parameters = request.query_params
        query = pb.InstanceQuery(
            runtimeStatus=status_numbers(parameters.get("runtimeStatus", "")),
            createdTimeFrom=_time(request, "createdTimeFrom"),
            createdTimeTo=_time(request, "createdTimeTo"),
            maxInstanceCount=_whole(parameters.get("top", "100")),
            continuationToken=get_string_value(request.headers.get(_CONTINUATION) or None),
            instanceIdPrefix=get_string_value(parameters.get("instanceIdPrefix") or None),
            fetchInputsAndOutputs=True,
        )
        answer = await self._stub.QueryInstances(pb.QueryInstancesRequest(query=query))
        show_input = _flag(request, "showInput", default=True)
        views = [instance_view(state, show_input=show_input) for state in answer.orchestrationState]
        return JSONResponse(views, headers=_continuation(answer))

    async def _purge(self, request: Request) -> Response:
        state = await self._state(request)
        if state.orchestrationStatus not in FINISHED:
            raise _Refused(404, f"Instance '{state.instanceId}' has not finished; it cannot be purged yet.")
        answer = await self._stub.PurgeInstances(
            pb.PurgeInstancesRequest(instanceId=state.instanceId, isOrchestration=True)
        )
        return JSONResponse({"instancesDeleted": answer.deletedInstanceCount})

    async def _purge_many(self, request: Request) -> Response:
        if "createdTimeFrom" not in request.query_params:
            raise _Refused(400, "Purging several instances needs the parameter createdTimeFrom.")
        chosen = pb.PurgeInstanceFilter(
            createdTimeFrom=_time(request, "createdTimeFrom"),
            createdTimeTo=_time(request, "createdTimeTo"),
            runtimeStatus=status_numbers(request.query_params.get("runtimeStatus", "")),
        )
        answer = await self._stub.PurgeInstances(
            pb.PurgeInstancesRequest(purgeInstanceFilter=chosen, isOrchestration=True)
        )
        count = answer.deletedInstanceCount
        return JSONResponse({"instancesDeleted": count}, status_code=200 if count else 404)

    async def _raise_event(self, request: Request) -> Response:
        body = await _json_body(request)
        state = await self._state(request, unfinished=True)
        event = pb.RaiseEventRequest(
            instanceId=state.instanceId, name=request.path_params["event"], input=get_string_value(body)
        )
        await self._stub.RaiseEvent(event)
        return Response(status_code=202)

    async def _terminate(self, request: Request) -> Response:
        state = await self._state(request, unfinished=True)
        reason = json.dumps(request.query_params.get("reason", ""))
        await self._stub.TerminateInstance(
            pb.TerminateRequest(instanceId=state.instanceId, output=get_string_value(reason), recursive=True)
        )
        return Response(status_code=202)

    async def _suspend(self, request: Request) -> Response:
        state = await self._state(request, unfinished=True)
        await self._stub.SuspendInstance(
            pb.SuspendRequest(instanceId=state.instanceId, reason=_reason(request))
        )
        return Response(status_code=202)

    async def _resume(self, request: Request) -> Response:
        state = await self._state(request, unfinished=True)
        await self._stub.ResumeInstance(
            pb.ResumeRequest(instanceId=state.instanceId, reason=_reason(request))
        )
        return Response(status_code=202)

    async def _rewind(self, request: Request) -> Response:
        state = await self._state(request)
        await self._stub.RewindInstance(
            pb.RewindInstanceRequest(instanceId=state.instanceId, reason=_reason(request))
        )
        return Response(status_code=202)

    async def _restart(self, request: Request) -> Response:
        state = await self._state(request)
        anew = _flag(request, "restartWithNewInstanceId", default=True)
        answer = await self._stub.RestartInstance(
            pb.RestartInstanceRequest(instanceId=state.instanceId, restartWithNewInstanceId=anew)
        )
        return self._started(request, answer.instanceId)

    async def _list_entities(self, request: Request) -> Response:
        name = request.path_params.get("name")
        query = pb.EntityQuery(
            instanceIdStartsWith=get_string_value(f"@{name.lower()}@" if name else None),
            lastModifiedFrom=_time(request, "lastOperationTimeFrom"),
            lastModifiedTo=_time(request, "lastOperationTimeTo"),
            includeState=_flag(request, "fetchState"),
            continuationToken=get_string_value(request.headers.get(_CONTINUATION) or None),
        )
        query.pageSize.value = _whole(request.query_params.get("top", "100"))
        answer = await self._stub.QueryEntities(pb.QueryEntitiesRequest(query=query))
        return JSONResponse(
            [entity_view(entity) for entity in answer.entities], headers=_continuation(answer)
        )

    async def _entity(self, request: Request) -> Response:
        entity_id = _entity_id(request)
        answer = await self._stub.GetEntity(pb.GetEntityRequest(instanceId=entity_id, includeState=True))
        if not answer.exists:
            raise _Refused(404, f"No entity '{entity_id}' was found.")
        return JSONResponse(payload(answer.entity, "serializedState"))

    async def _signal(self, request: Request) -> Response:
        signal = pb.SignalEntityRequest(
            instanceId=_entity_id(request),
            name=request.query_params.get("op", ""),
            input=get_string_value(await _json_body(request)),
        )
        await self._stub.SignalEntity(signal)
        return Response(status_code=202)


def _answering(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except _Refused as exc:
            return PlainTextResponse(str(exc), status_code=exc.status)
        except ValueError as exc:
            return PlainTextResponse(str(exc), status_code=400)
        except grpc.aio.AioRpcError as exc:
            return PlainTextResponse(exc.details() or "", status_code=_STATUS_OF.get(exc.code(), 500))

    return answer


def _finished_response(state: pb.OrchestrationState) -> Response:
    failed = state.orchestrationStatus == pb.ORCHESTRATION_STATUS_FAILED
    if failed:
        return JSONResponse(instance_view(state, show_input=False), status_code=500)
    return JSONResponse(payload(state, "output"))


async def _json_body(request: Request) -> str | None:
    body = await request.body()
    if not body.strip():
        return None
    try:
        return json.dumps(json.loads(body))
    except ValueError as exc:
        raise ValueError("The request body is not JSON.") from exc


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _entity_id(request: Request) -> str:
    return f"@{request.path_params['name'].lower()}@{request.path_params['key']}"


def _flag(request: Request, name: str, *, default: bool = False) -> bool:
    text = request.query_params.get(name)
    return default if text is None else text.casefold() == "true"


def _time(request: Request, name: str) -> Any:
    text = request.query_params.get(name)
    return timestamp(text) if text else None


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"'{text}' is not a whole number.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        return min(float(text or _DEFAULT_WAIT), _LONGEST_WAIT)
    except ValueError as exc:
        raise ValueError(f"'{text}' is not a number of seconds.") from exc


def _reason(request: Request) -> Any:
    return get_string_value(request.query_params.get("reason") or None)


def _continuation(answer: Any) -> dict[str, str]:
    token = answer.continuationToken.value
    return {_CONTINUATION: token} if token else {}
