"""Durable work items to functions: the host's `Dispatcher`."""

import base64
from collections.abc import Iterable

from azure.functions.meta import Datum
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.host.durable import ActivityItem, ActivityOutcome
from localhost.host.functions import ACTIVITY, ENTITY, ORCHESTRATION, Function
from localhost.host.invocation import Invoker, child_trace
from localhost.host.runtime import Result

_NAME_PROPERTY = {ORCHESTRATION: "orchestration", ACTIVITY: "activity", ENTITY: "entityName"}
_KIND = {ORCHESTRATION: "orchestrator", ACTIVITY: "activity", ENTITY: "entity"}


class FunctionDispatcher:
    """Finds the function a work item names, without regard to case, and has it run as Azure would."""

    def __init__(self, functions: Iterable[Function], invoker: Invoker) -> None:
        self._invoker = invoker
        self._named: dict[str, dict[str, Function]] = {kind: {} for kind in _NAME_PROPERTY}
        for function in functions:
            kind = function.trigger.type
            if kind in self._named and not function.unsupported:
                name = function.trigger.properties.get(_NAME_PROPERTY[kind]) or function.name
                self._named[kind][str(name).casefold()] = function

    def knows(self, kind: str, name: str) -> bool:
        """Whether the app has a function of that trigger type under that name."""
        return name.casefold() in self._named[kind]

    async def orchestrate(self, name: str, request: bytes) -> bytes:
        """See `durable.Dispatcher`."""
        failure, response = await self._run_encoded(ORCHESTRATION, name, request)
        return failed_turn(request, failure) if failure else response

    async def run_entity_batch(self, name: str, request: bytes) -> bytes:
        """See `durable.Dispatcher`."""
        failure, response = await self._run_encoded(ENTITY, name, request)
        return failed_batch(failure) if failure else response

    async def run_activity(self, item: ActivityItem) -> ActivityOutcome:
        """See `durable.Dispatcher`."""
        function = self._named[ACTIVITY].get(item.name.casefold())
        if function is None:
            return ActivityOutcome(failure=self._unknown(ACTIVITY, item.name).SerializeToString())
        trace = child_trace(item.trace_parent, item.trace_state)
        # No input arrives as null, which every function accepts.
        result = await self._invoker.invoke(function, Datum(item.input or "null", "json"), trace=trace)
        if not result.ok:
            return ActivityOutcome(failure=failure_details(result).SerializeToString())
        return ActivityOutcome(result=result.returned.value if result.returned else None)

    async def _run_encoded(
        self, kind: str, name: str, request: bytes
    ) -> tuple[pb.TaskFailureDetails | None, bytes]:
        function = self._named[kind].get(name.casefold())
        if function is None:
            return self._unknown(kind, name), b""
        result = await self._invoker.invoke(function, Datum(base64.b64encode(request).decode(), "string"))
        if not result.ok or result.returned is None:
            return failure_details(result), b""
        return None, base64.b64decode(result.returned.value)

    def _unknown(self, kind: str, name: str) -> pb.TaskFailureDetails:
        known = ", ".join(sorted(function.name for function in self._named[kind].values())) or "none"
        return pb.TaskFailureDetails(
            errorType="FunctionNotFound",
            errorMessage=(
                f"The function '{name}' doesn't exist, is disabled, or is not an {_KIND[kind]} function. "
                f"Known {_KIND[kind]} functions: {known}."
            ),
            isNonRetriable=True,
        )


def failure_details(result: Result) -> pb.TaskFailureDetails:
    """What a failed invocation tells the orchestration: type, message and trace of the exception."""
    if result.error is not None:
        return helpers.new_failure_details(result.error)
    # Failed outside the function, e.g. its result is not JSON: the trace is one line, "type: message".
    kind, _, message = result.trace.partition(": ")
    return pb.TaskFailureDetails(
        errorType=kind or "InvocationFailed",
        errorMessage=message or result.error_text or "The function failed.",
    )


def failed_turn(request: bytes, failure: pb.TaskFailureDetails) -> bytes:
    """An encoded OrchestratorResponse that ends the orchestration of `request` with a failure."""
    instance_id = pb.OrchestratorRequest.FromString(request).instanceId
    action = helpers.new_complete_orchestration_action(
        -1, pb.ORCHESTRATION_STATUS_FAILED, failure_details=failure
    )
    response: bytes = pb.OrchestratorResponse(instanceId=instance_id, actions=[action]).SerializeToString()
    return response


def failed_batch(failure: pb.TaskFailureDetails) -> bytes:
    """An encoded EntityBatchResult that says that the batch failed as a whole."""
    result: bytes = pb.EntityBatchResult(failureDetails=failure).SerializeToString()
    return result
