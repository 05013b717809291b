"""Workers outside the process: streams, filters, tokens."""

import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.history import EventRaisedEvent
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub
from durabletask.worker import (
    ActivityWorkItemFilter,
    OrchestrationWorkItemFilter,
    TaskHubGrpcWorker,
    WorkItemFilters,
)
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.eventually import eventually
from tests.taskhub.backends import QUIET, HubBackend

type Steps = Generator[task.Task[Any], Any, Any]
type Context = task.OrchestrationContext


@pytest.fixture
def hub(hub_url: str, hub_name: str) -> Iterator[HubBackend]:
    """A hub whose work goes to streams."""
    with ExitStack() as stack:
        yield HubBackend(stack, hub_url, hub_name, in_process=False)


@contextmanager
def stub(hub: HubBackend) -> Iterator[Any]:
    """The bare service, for a worker that misbehaves."""
    with grpc.insecure_channel(hub.address) as channel:
        yield TaskHubSidecarServiceStub(channel)  # type: ignore[no-untyped-call]


def greet(_: task.ActivityContext, name: str) -> str:
    return f"hello {name}"


def greets(context: Context, name: str) -> Steps:
    return (yield context.call_activity(greet, input=name))


def test_work_of_a_broken_stream_goes_to_another_worker(hub: HubBackend) -> None:
    instance_id = hub.client.schedule_new_orchestration(greets, input="you")
    with stub(hub) as service:
        stream = service.GetWorkItems(pb.GetWorkItemsRequest())
        item = next(stream)
        assert item.orchestratorRequest.instanceId == instance_id
        stream.cancel()
    hub.register(orchestrators=[greets], activities=[greet])
    state = hub.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    assert state.get_output() == "hello you"


def test_a_token_is_good_for_one_answer(hub: HubBackend) -> None:
    instance_id = hub.client.schedule_new_orchestration(greets, input="you")

    def complete(token: str, text: str) -> pb.OrchestratorResponse:
        complete = pb.CompleteOrchestrationAction(orchestrationStatus=pb.ORCHESTRATION_STATUS_COMPLETED)
        complete.result.value = f'"{text}"'
        action = pb.OrchestratorAction(id=1, completeOrchestration=complete)
        return pb.OrchestratorResponse(instanceId=instance_id, completionToken=token, actions=[action])

    with stub(hub) as service:
        stream = service.GetWorkItems(pb.GetWorkItemsRequest())
        token = next(stream).completionToken
        service.CompleteOrchestratorTask(complete("of nobody", "wrong"))
        service.CompleteOrchestratorTask(complete(token, "first"))
        service.CompleteOrchestratorTask(complete(token, "second"))
        stream.cancel()
    state = hub.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    assert state.get_output() == "first"


def test_tokens_of_an_earlier_owner_are_worthless(hub: HubBackend) -> None:
    instance_id = hub.client.schedule_new_orchestration(greets, input="you")
    with stub(hub) as service:
        token = next(service.GetWorkItems(pb.GetWorkItemsRequest())).completionToken
    hub.restart()
    with stub(hub) as service:
        service.CompleteOrchestratorTask(
            pb.OrchestratorResponse(instanceId=instance_id, completionToken=token)
        )
    hub.register(orchestrators=[greets], activities=[greet])
    state = hub.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    assert state.get_output() == "hello you"


def test_abandoned_work_comes_again(hub: HubBackend) -> None:
    hub.client.schedule_new_orchestration(greets, input="you", instance_id="abandoned")
    with stub(hub) as service:
        stream = service.GetWorkItems(pb.GetWorkItemsRequest())
        first = next(stream)
        hub.client.raise_orchestration_event("abandoned", "meanwhile")
        service.AbandonTaskOrchestratorWorkItem(
            pb.AbandonOrchestrationTaskRequest(completionToken=first.completionToken)
        )
        again = next(stream)
        assert again.completionToken != first.completionToken
        kinds = [event.WhichOneof("eventType") for event in again.orchestratorRequest.newEvents]
        assert kinds == ["orchestratorStarted", "executionStarted", "eventRaised"]
        stream.cancel()


def test_answers_in_parts_are_put_together(hub: HubBackend) -> None:
    instance_id = hub.client.schedule_new_orchestration(greets, input="you")
    hub_answers = []
    with stub(hub) as service:
        stream = service.GetWorkItems(pb.GetWorkItemsRequest())
        token = next(stream).completionToken
        for part in range(3):
            action = pb.OrchestratorAction(id=part + 1, scheduleTask=pb.ScheduleTaskAction(name="greet"))
            service.CompleteOrchestratorTask(
                pb.OrchestratorResponse(
                    instanceId=instance_id, completionToken=token, actions=[action], isPartial=part < 2
                )
            )
        hub_answers = [next(stream).activityRequest.taskId for _ in range(3)]
        stream.cancel()
    assert hub_answers == [1, 2, 3]


def test_the_worker_sets_how_much_it_gets(hub: HubBackend) -> None:
    for _ in range(3):
        hub.client.schedule_new_orchestration(greets, input="you")
    with stub(hub) as service:
        stream = service.GetWorkItems(pb.GetWorkItemsRequest(maxConcurrentOrchestrationWorkItems=2))
        tokens = [next(stream).completionToken for _ in range(2)]
        third = threading.Thread(target=lambda: tokens.append(next(stream).completionToken))
        third.start()
        third.join(0.3)
        assert len(tokens) == 2
        service.CompleteOrchestratorTask(pb.OrchestratorResponse(completionToken=tokens[0]))
        third.join(5)
        assert len(set(tokens)) == 3
        stream.cancel()


def test_long_histories_stream_to_workers_that_ask_for_it(hub: HubBackend) -> None:
    text = "x" * 600_000

    def two_events(context: Context, _: Any) -> Steps:
        for _ in range(3):
            yield context.wait_for_external_event("go")

    with ExitStack() as stack:
        worker = TaskHubGrpcWorker(host_address=hub.address, logger=QUIET)
        worker.add_orchestrator(two_events)
        worker.start()  # type: ignore[no-untyped-call]
        stack.callback(worker.stop)
        instance_id = hub.client.schedule_new_orchestration(two_events)
        for _ in range(2):
            hub.client.raise_orchestration_event(instance_id, "go", data=text)
        eventually(lambda: _events_raised(hub, instance_id) == 2, what="both events")
    hub.client.raise_orchestration_event(instance_id, "go", data="last")
    with stub(hub) as service:
        capable = pb.GetWorkItemsRequest(capabilities=[pb.WORKER_CAPABILITY_HISTORY_STREAMING])
        stream = service.GetWorkItems(capable)
        request = next(stream).orchestratorRequest
        assert request.requiresHistoryStreaming
        assert not request.pastEvents
        history = pb.StreamInstanceHistoryRequest(instanceId=instance_id, forWorkItemProcessing=True)
        events = [event for chunk in service.StreamInstanceHistory(history) for event in chunk.events]
        assert events[1].HasField("executionStarted")
        assert sum(event.HasField("eventRaised") for event in events) == 2
        stream.cancel()


def test_a_worker_cannot_bring_the_hub_down(hub: HubBackend) -> None:
    def named(**message: Any) -> pb.SendEntityMessageAction:
        return pb.SendEntityMessageAction(**message)

    call = pb.EntityOperationCalledEvent(requestId="r", operation="get")
    call.targetInstanceId.value = "no entity"
    signal = pb.EntityOperationSignaledEvent(requestId="s", operation="get")
    signal.targetInstanceId.value = "@half"
    signal.scheduledTime.seconds = -(10**15)
    never = Timestamp(seconds=10**15)
    lock, unlock = pb.EntityLockRequestedEvent(), pb.EntityUnlockSentEvent()
    child = pb.CreateSubOrchestrationAction
    odd = [
        pb.OrchestratorAction(id=1, sendEntityMessage=named(entityOperationCalled=call)),
        pb.OrchestratorAction(id=2, sendEntityMessage=named(entityOperationSignaled=signal)),
        pb.OrchestratorAction(id=3, sendEntityMessage=named(entityLockRequested=lock)),
        pb.OrchestratorAction(id=4, sendEntityMessage=named(entityUnlockSent=unlock)),
        pb.OrchestratorAction(id=5, createSubOrchestration=child(instanceId="@a@b")),
        pb.OrchestratorAction(id=6, createSubOrchestration=child(instanceId="a\0b")),
        pb.OrchestratorAction(id=7, createTimer=pb.CreateTimerAction(fireAt=never)),
        pb.OrchestratorAction(id=8, sendEvent=pb.SendEventAction(name="x\0")),
        pb.OrchestratorAction(id=9),
    ]
    instance_id = hub.client.schedule_new_orchestration(greets, input="you")
    with stub(hub) as service:
        late = pb.CreateInstanceRequest(name="greets", scheduledStartTimestamp=never)
        service.StartInstance(late)
        stream = service.GetWorkItems(pb.GetWorkItemsRequest())
        token = next(stream).completionToken
        service.CompleteOrchestratorTask(
            pb.OrchestratorResponse(instanceId=instance_id, completionToken=token, actions=odd)
        )
        item = next(stream)
        kinds = [event.WhichOneof("eventType") for event in item.orchestratorRequest.newEvents]
        assert kinds.count("subOrchestrationInstanceFailed") == 2
        assert kinds.count("entityOperationFailed") == kinds.count("entityLockGranted") == 1
        strange = pb.CompleteOrchestrationAction(orchestrationStatus=pb.ORCHESTRATION_STATUS_PENDING)
        service.CompleteOrchestratorTask(
            pb.OrchestratorResponse(
                instanceId=instance_id,
                completionToken=item.completionToken,
                actions=[pb.OrchestratorAction(id=9, completeOrchestration=strange)],
            )
        )
        stream.cancel()
    state = hub.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    assert state.runtime_status == OrchestrationStatus.FAILED
    hub.restart()
    assert hub.client.get_orchestration_state(instance_id) is not None


def _events_raised(hub: HubBackend, instance_id: str) -> int:
    events = hub.client.get_orchestration_history(instance_id)
    return sum(isinstance(event, EventRaisedEvent) for event in events)


def test_filters_send_work_where_its_function_is(hub: HubBackend) -> None:
    ran: list[str] = []

    def worker(name: str, *, orchestrations: list[str], activities: list[str]) -> TaskHubGrpcWorker:
        made = TaskHubGrpcWorker(host_address=hub.address, logger=QUIET)
        made.add_orchestrator(greets)

        def greet(_: task.ActivityContext, text: str) -> str:
            ran.append(name)
            return text

        made.add_activity(greet)
        made.use_work_item_filters(
            WorkItemFilters(
                orchestrations=[OrchestrationWorkItemFilter(name=n) for n in orchestrations],
                activities=[ActivityWorkItemFilter(name=n) for n in activities],
            )
        )
        made.start()  # type: ignore[no-untyped-call]
        return made

    with ExitStack() as stack:
        stack.callback(worker("turns", orchestrations=["greets"], activities=[]).stop)
        ids = [hub.client.schedule_new_orchestration(greets, input="x") for _ in range(5)]
        for instance_id in ids:
            hub.client.wait_for_orchestration_start(instance_id, timeout=10)
        stack.callback(worker("steps", orchestrations=[], activities=["greet"]).stop)
        for instance_id in ids:
            assert hub.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert ran == ["steps"] * 5
