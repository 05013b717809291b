"""Restart, rewind and history."""

import threading
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from durabletask import history, task
from durabletask.client import OrchestrationStatus

from tests.support.eventually import eventually
from tests.taskhub.backends import Backend, HubBackend

type Steps = Generator[task.Task[Any], Any, Any]
type Context = task.OrchestrationContext


class Faults:
    """An activity that fails until it is repaired, and counts its calls."""

    def __init__(self) -> None:
        self.broken = True
        self.calls: list[str] = []

    def activity(self) -> Any:
        """The activity function."""

        def fragile(_: task.ActivityContext, text: str) -> str:
            self.calls.append(text)
            if self.broken and text.startswith("bad"):
                raise ValueError(f"{text} is broken")
            return text.upper()

        return fragile


def three(context: Context, names: list[str]) -> Steps:
    results = []
    for name in names:
        results.append((yield context.call_activity("fragile", input=name)))
    return results


def through_child(context: Context, names: list[str]) -> Steps:
    first = yield context.call_activity("fragile", input="first")
    rest = yield context.call_sub_orchestrator(three, input=names, instance_id=f"{context.instance_id}-child")
    return [first, *rest]


def finish(backend: Backend, instance_id: str) -> Any:
    state = backend.client.wait_for_orchestration_completion(instance_id, timeout=20)
    assert state is not None
    return state


def test_restart_runs_the_same_again(backend: Backend) -> None:
    faults = Faults()
    backend.register(orchestrators=[three], activities=[faults.activity()])
    instance_id = backend.client.schedule_new_orchestration(three, input=["a", "b"])
    assert finish(backend, instance_id).get_output() == ["A", "B"]
    other = backend.client.restart_orchestration(instance_id, restart_with_new_instance_id=True)
    assert other != instance_id
    assert finish(backend, other).get_output() == ["A", "B"]
    assert backend.client.restart_orchestration(instance_id) == instance_id
    assert finish(backend, instance_id).get_output() == ["A", "B"]
    assert faults.calls == ["a", "b"] * 3


def test_only_finished_instances_restart_and_only_failed_ones_rewind(backend: Backend) -> None:
    def waits(context: Context, _: Any) -> Steps:
        yield context.wait_for_external_event("go")

    backend.register(orchestrators=[waits])
    instance_id = backend.client.schedule_new_orchestration(waits)
    backend.client.wait_for_orchestration_start(instance_id, timeout=10)
    with pytest.raises(Exception, match=r"terminal|finished|running"):
        backend.client.restart_orchestration(instance_id)
    with pytest.raises(Exception, match="failed"):
        backend.client.rewind_orchestration(instance_id)
    backend.client.raise_orchestration_event(instance_id, "go")
    finish(backend, instance_id)
    with pytest.raises(Exception, match="failed"):
        backend.client.rewind_orchestration(instance_id)


def test_rewind_repeats_only_what_failed(backend: Backend) -> None:
    faults = Faults()
    backend.register(orchestrators=[three], activities=[faults.activity()])
    instance_id = backend.client.schedule_new_orchestration(three, input=["a", "bad", "c"])
    assert finish(backend, instance_id).runtime_status == OrchestrationStatus.FAILED
    faults.broken = False
    backend.client.rewind_orchestration(instance_id, reason="repaired")
    assert finish(backend, instance_id).get_output() == ["A", "BAD", "C"]
    assert faults.calls == ["a", "bad", "bad", "c"]


@pytest.mark.parametrize("purged", [False, True])
def test_rewind_goes_down_into_children(hub: HubBackend, purged: bool) -> None:
    faults = Faults()
    hub.register(orchestrators=[three, through_child], activities=[faults.activity()])
    hub.client.schedule_new_orchestration(through_child, input=["b", "bad"], instance_id="mother")
    assert finish(hub, "mother").runtime_status == OrchestrationStatus.FAILED
    if purged:
        hub.client.purge_orchestration("mother-child")
    hub.restart()
    faults.broken = False
    hub.client.rewind_orchestration("mother")
    hub.restart()
    assert finish(hub, "mother").get_output() == ["FIRST", "B", "BAD"]
    # What was running when the hub went down runs once more.
    assert faults.calls[:3] == ["first", "b", "bad"]
    assert list(dict.fromkeys(faults.calls[3:])) == (["b", "bad"] if purged else ["bad"])


def test_rewind_takes_the_result_of_a_child_that_was_rewound_alone(hub: HubBackend) -> None:
    faults = Faults()
    hub.register(orchestrators=[three, through_child], activities=[faults.activity()])
    hub.client.schedule_new_orchestration(through_child, input=["bad"], instance_id="mother")
    assert finish(hub, "mother").runtime_status == OrchestrationStatus.FAILED
    faults.broken = False
    hub.client.rewind_orchestration("mother-child")
    assert finish(hub, "mother-child").get_output() == ["BAD"]
    hub.client.rewind_orchestration("mother")
    assert finish(hub, "mother").get_output() == ["FIRST", "BAD"]
    assert faults.calls == ["first", "bad", "bad"]


def test_rewind_waits_again_for_what_was_still_running(hub: HubBackend) -> None:
    faults, gate, ran = Faults(), threading.Event(), []

    def slow(_: task.ActivityContext, text: str) -> str:
        ran.append(text)
        assert gate.wait(10)
        return text

    def together(context: Context, _: Any) -> Steps:
        other = context.call_activity(slow, input="other")
        timer = context.create_timer(timedelta(seconds=0.2))
        bad = yield context.call_activity("fragile", input="bad")
        yield timer
        return [bad, (yield other)]

    hub.register(orchestrators=[together], activities=[faults.activity(), slow])
    instance_id = hub.client.schedule_new_orchestration(together)
    assert finish(hub, instance_id).runtime_status == OrchestrationStatus.FAILED
    gate.set()  # now its result comes too late for the execution that failed
    faults.broken = False
    hub.client.rewind_orchestration(instance_id)
    assert finish(hub, instance_id).get_output() == ["BAD", "other"]
    assert ran == ["other", "other"]


def test_rewind_twice(hub: HubBackend) -> None:
    faults = Faults()
    hub.register(orchestrators=[three], activities=[faults.activity()])
    instance_id = hub.client.schedule_new_orchestration(three, input=["bad"])
    for _ in range(2):
        assert finish(hub, instance_id).runtime_status == OrchestrationStatus.FAILED
        hub.client.rewind_orchestration(instance_id)
        eventually(
            lambda: finish(hub, instance_id).runtime_status == OrchestrationStatus.FAILED, what="failure"
        )
    faults.broken = False
    hub.client.rewind_orchestration(instance_id)
    assert finish(hub, instance_id).get_output() == ["BAD"]


def test_history_tells_what_happened(backend: Backend) -> None:
    faults = Faults()
    backend.register(orchestrators=[three], activities=[faults.activity()])
    instance_id = backend.client.schedule_new_orchestration(three, input=["a", "b"])
    finish(backend, instance_id)
    kinds = [type(event).__name__ for event in backend.client.get_orchestration_history(instance_id)]
    assert kinds[:4] == [
        "OrchestratorStartedEvent",
        "ExecutionStartedEvent",
        "TaskScheduledEvent",
        "OrchestratorCompletedEvent",
    ]
    assert kinds[5:7] == ["TaskCompletedEvent", "TaskScheduledEvent"]
    assert kinds[-1] == "ExecutionCompletedEvent"


def test_history_has_times_and_parents_and_comes_in_chunks(hub: HubBackend) -> None:
    def many(context: Context, count: int) -> Steps:
        yield task.when_all([context.call_activity("fragile", input=str(n)) for n in range(count)])

    def mother(context: Context, count: int) -> Steps:
        yield context.call_sub_orchestrator(many, input=count, instance_id="many")

    hub.register(orchestrators=[many, mother], activities=[Faults().activity()])
    hub.client.schedule_new_orchestration(mother, input=600, instance_id="mother")
    finish(hub, "mother")
    events = hub.client.get_orchestration_history("many")
    assert len(events) > 1200
    assert all(event.timestamp.year > 2000 for event in events)
    started = events[1]
    assert isinstance(started, history.ExecutionStartedEvent)
    assert started.parent_instance is not None
    assert started.parent_instance.orchestration_instance is not None
    assert started.parent_instance.orchestration_instance.instance_id == "mother"
