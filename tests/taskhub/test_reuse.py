"""Who may have an id that is taken: start requests with a policy, and the hub's own."""

from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest
from durabletask import task
from durabletask.internal import orchestrator_service_pb2 as pb
from grpc import RpcError, StatusCode

from localhost.taskhub import statuses
from localhost.taskhub.options import HubOptions
from tests.taskhub.backends import HubBackend

COMPLETED, FAILED, TERMINATED, RUNNING = "completed", "failed", "terminated", "running"

# Statuses that the request calls replaceable (None: it has no policy), what has the id, whether it gives way.
CASES: list[tuple[list[int] | None, str, bool]] = [
    (None, COMPLETED, True),
    (None, FAILED, True),
    (None, TERMINATED, True),
    (None, RUNNING, False),
    ([], COMPLETED, False),
    ([statuses.FAILED], COMPLETED, False),
    ([statuses.FAILED], FAILED, True),
    (sorted(statuses.FINISHED), TERMINATED, True),
    (sorted(statuses.FINISHED), RUNNING, False),
    ([statuses.RUNNING], RUNNING, True),
]


def occupies(context: task.OrchestrationContext, fate: str) -> Generator[task.Task[Any], Any, Any]:
    """Has an id until it comes to its end."""
    if fate in (RUNNING, TERMINATED):
        return (yield context.wait_for_external_event("go"))
    if fate == FAILED:
        raise ValueError(fate)
    return "first"


def _occupy(hub: HubBackend, instance_id: str, fate: str) -> None:
    hub.client.schedule_new_orchestration(occupies, input=fate, instance_id=instance_id)
    hub.client.wait_for_orchestration_start(instance_id, timeout=10)
    if fate == TERMINATED:
        hub.client.terminate_orchestration(instance_id)
    if fate != RUNNING:
        hub.client.wait_for_orchestration_completion(instance_id, timeout=10)


def _output(hub: HubBackend, instance_id: str) -> Any:
    state = hub.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    return state.get_output()


@pytest.mark.parametrize("restart", [False, True], ids=["in memory", "in the database"])
def test_who_gives_way(hub: HubBackend, restart: bool) -> None:
    hub.register(orchestrators=[occupies])
    ids = [f"id{number}" for number in range(len(CASES))]
    for instance_id, (_, fate, _) in zip(ids, CASES, strict=True):
        _occupy(hub, instance_id, fate)
    if restart:
        hub.restart()
    for instance_id, (replaceable, fate, gives_way) in zip(ids, CASES, strict=True):
        begin: dict[str, Any] = {"input": RUNNING, "instance_id": instance_id}
        if replaceable is not None:
            begin["reuse_id_policy"] = pb.OrchestrationIdReusePolicy(replaceableStatus=replaceable)  # type: ignore[arg-type]
        if gives_way:
            hub.client.schedule_new_orchestration(occupies, **begin)
            hub.client.raise_orchestration_event(instance_id, "go", data="second")
            assert _output(hub, instance_id) == "second"
            continue
        with pytest.raises(RpcError, match=f"already; it is {fate.upper()}") as refused:
            hub.client.schedule_new_orchestration(occupies, **begin)
        assert refused.value.code() == StatusCode.ALREADY_EXISTS


def test_a_hub_may_let_running_instances_give_way(hub_url: str, hub_name: str) -> None:
    """`overridableExistingInstanceStates: AnyState` in host.json."""
    with ExitStack() as stack:
        options = HubOptions(replaceable=statuses.FINISHED | statuses.OPEN)
        hub = HubBackend(stack, hub_url, hub_name, in_process=True, options=options)
        hub.register(orchestrators=[occupies])
        for _ in range(3):
            _occupy(hub, "same", RUNNING)
        hub.client.raise_orchestration_event("same", "go", data="last")
        assert _output(hub, "same") == "last"
