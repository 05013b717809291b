"""Calls of the protocol that the Python client does not make, but clients of other languages do."""

from collections.abc import Generator, Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub
from google.protobuf.empty_pb2 import Empty

from localhost.taskhub import purging
from tests.taskhub.backends import HubBackend


def waits(context: task.OrchestrationContext, _: Any) -> Generator[task.Task[Any], Any, Any]:
    """Waits until somebody lets it go."""
    return (yield context.wait_for_external_event("go"))


@pytest.fixture
def service(hub: HubBackend) -> Iterator[Any]:
    """The service as it is."""
    hub.register(orchestrators=[waits])
    with grpc.insecure_channel(hub.address) as channel:
        yield TaskHubSidecarServiceStub(channel)  # type: ignore[no-untyped-call]


def _status(hub: HubBackend, instance_id: str) -> OrchestrationStatus | None:
    state = hub.client.get_orchestration_state(instance_id)
    return state.runtime_status if state else None


def _finished(hub: HubBackend, *instance_ids: str) -> None:
    for instance_id in instance_ids:
        hub.client.schedule_new_orchestration(waits, instance_id=instance_id)
        hub.client.raise_orchestration_event(instance_id, "go")
    for instance_id in instance_ids:
        hub.client.wait_for_orchestration_completion(instance_id, timeout=10)


def test_the_hub_is_there_for_as_long_as_it_is_open(service: Any) -> None:
    assert service.Hello(Empty()) == Empty()
    assert service.CreateTaskHub(pb.CreateTaskHubRequest()) == pb.CreateTaskHubResponse()
    with pytest.raises(grpc.RpcError, match="open cannot be deleted"):
        service.DeleteTaskHub(pb.DeleteTaskHubRequest())


def test_many_instances_are_terminated_at_once(hub: HubBackend, service: Any) -> None:
    _finished(hub, "finished")
    hub.client.schedule_new_orchestration(waits, instance_id="running")
    request = pb.SkipGracefulOrchestrationTerminationsRequest()
    request.instanceBatch.instanceIds.extend(["finished", "nobody", "running"])
    answer = service.SkipGracefulOrchestrationTerminations(request)
    assert list(answer.unterminatedInstanceIds) == ["finished", "nobody"]
    hub.client.wait_for_orchestration_completion("running", timeout=10)
    assert _status(hub, "running") == OrchestrationStatus.TERMINATED
    assert _status(hub, "finished") == OrchestrationStatus.COMPLETED


def test_a_batch_of_instances_is_purged(hub: HubBackend, service: Any) -> None:
    _finished(hub, "a", "b", "c")
    request = pb.PurgeInstancesRequest(instanceBatch=pb.InstanceBatch(instanceIds=["a", "c", "nobody"]))
    assert service.PurgeInstances(request).deletedInstanceCount == 2
    assert [_status(hub, instance_id) for instance_id in "abc"] == [None, OrchestrationStatus.COMPLETED, None]


def test_purging_stops_when_its_time_is_over(
    hub: HubBackend, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "_PAGE", 2)
    _finished(hub, "a", "b", "c", "d", "e")
    request = pb.PurgeInstancesRequest(purgeInstanceFilter=pb.PurgeInstanceFilter())
    request.purgeInstanceFilter.timeout.FromTimedelta(timedelta())
    answer = service.PurgeInstances(request)
    assert (answer.deletedInstanceCount, answer.isComplete.value) == (2, False)
    request.purgeInstanceFilter.timeout.FromTimedelta(timedelta(minutes=1))
    answer = service.PurgeInstances(request)
    assert (answer.deletedInstanceCount, answer.isComplete.value) == (3, True)
