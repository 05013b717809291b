"""Continue-as-new, termination, suspension, queries and purging."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from durabletask import client, task
from durabletask.client import OrchestrationStatus
from grpc import RpcError, StatusCode

from tests.support.eventually import eventually
from tests.taskhub.backends import Backend, HubBackend

type Steps = Generator[task.Task[Any], Any, Any]
type Context = task.OrchestrationContext


def rounds(context: Context, state: dict[str, Any]) -> Steps:
    """Takes one event per execution until it has enough."""
    event = yield context.wait_for_external_event("item")
    got = [*state["got"], event]
    if len(got) < state["wanted"]:
        context.continue_as_new({"wanted": state["wanted"], "got": got}, save_events=True)
        return None
    return got


def waits(context: Context, name: str) -> Steps:
    return (yield context.wait_for_external_event(name))


def family(context: Context, depth: int) -> Steps:
    if depth:
        yield context.call_sub_orchestrator(
            family, input=depth - 1, instance_id=f"{context.instance_id}-{depth}"
        )
    yield context.wait_for_external_event("end")


def steps(context: Context, count: int) -> Steps:
    done = 0
    for _ in range(count):
        yield context.wait_for_external_event("step")
        done += 1
        context.set_custom_status(done)
    return done


def status(backend: Backend, instance_id: str) -> OrchestrationStatus | None:
    state = backend.client.get_orchestration_state(instance_id)
    return state.runtime_status if state else None


def becomes(backend: Backend, instance_id: str, expected: OrchestrationStatus) -> None:
    """Wait for a status."""
    eventually(lambda: status(backend, instance_id) == expected, what=f"{instance_id} {expected}")


def final(backend: Backend, instance_id: str) -> client.OrchestrationState:
    state = backend.client.wait_for_orchestration_completion(instance_id, timeout=20)
    assert state is not None
    return state


def test_continue_as_new_carries_events_over(backend: Backend) -> None:
    backend.register(orchestrators=[rounds])
    instance_id = backend.client.schedule_new_orchestration(rounds, input={"wanted": 8, "got": []})
    for number in range(8):
        backend.client.raise_orchestration_event(instance_id, "item", data=number)
    state = final(backend, instance_id)
    assert state.get_output() == list(range(8))
    assert state.runtime_status == OrchestrationStatus.COMPLETED


def test_continue_as_new_survives_restarts(hub: HubBackend) -> None:
    hub.register(orchestrators=[rounds])
    instance_id = hub.client.schedule_new_orchestration(rounds, input={"wanted": 6, "got": []})
    for number in range(6):
        hub.client.raise_orchestration_event(instance_id, "item", data=number)
        if number % 2:
            hub.restart()
    assert final(hub, instance_id).get_output() == list(range(6))


def test_results_of_an_earlier_execution_do_not_count(hub: HubBackend) -> None:
    """Task ids begin anew with each execution: a late result must not be taken for that of a later task."""

    def slow(_: task.ActivityContext, text: str) -> str:
        return text

    def impatient(context: Context, turn: int) -> Steps:
        if turn == 0:
            context.call_activity(slow, input="old")
            yield context.create_timer(timedelta())
            context.continue_as_new(1)
            return None
        return (yield context.call_activity(slow, input="new"))

    hub.register(orchestrators=[impatient], activities=[slow])
    for _ in range(10):
        instance_id = hub.client.schedule_new_orchestration(impatient, input=0)
        assert final(hub, instance_id).get_output() == "new"


def test_a_new_execution_may_have_a_new_version(hub: HubBackend) -> None:
    def grows(context: Context, seen: list[str | None]) -> Steps:
        yield context.create_timer(timedelta())
        seen.append(context.version)
        if len(seen) < 3:
            context.continue_as_new(seen, new_version="2" if len(seen) == 2 else None)
            return None
        return seen

    hub.register(orchestrators=[grows])
    instance_id = hub.client.schedule_new_orchestration(grows, input=[], version="1")
    assert final(hub, instance_id).get_output() == ["1", "1", "2"]


def test_termination_ends_an_instance(backend: Backend) -> None:
    backend.register(orchestrators=[waits])
    instance_id = backend.client.schedule_new_orchestration(waits, input="never")
    backend.client.wait_for_orchestration_start(instance_id, timeout=10)
    backend.client.terminate_orchestration(instance_id, output={"why": "enough"})
    state = final(backend, instance_id)
    assert state.runtime_status == OrchestrationStatus.TERMINATED
    assert state.get_output() == {"why": "enough"}
    backend.client.terminate_orchestration(instance_id, output="again")
    assert final(backend, instance_id).get_output() == {"why": "enough"}


@pytest.mark.parametrize("recursive", [True, False])
def test_termination_reaches_children_if_it_is_recursive(hub: HubBackend, recursive: bool) -> None:
    hub.register(orchestrators=[family])
    hub.client.schedule_new_orchestration(family, input=2, instance_id="top")
    ids = ["top", "top-2", "top-2-1"]
    for instance_id in ids:
        becomes(hub, instance_id, OrchestrationStatus.RUNNING)
    hub.client.terminate_orchestration("top", recursive=recursive)
    expected = OrchestrationStatus.TERMINATED if recursive else OrchestrationStatus.RUNNING
    assert [status(hub, i) for i in ids] == [OrchestrationStatus.TERMINATED, expected, expected]


def test_a_terminated_child_fails_for_its_parent(hub: HubBackend) -> None:
    hub.register(orchestrators=[family])
    hub.client.schedule_new_orchestration(family, input=1, instance_id="mother")
    eventually(lambda: status(hub, "mother-1") == OrchestrationStatus.RUNNING, what="the child")
    hub.client.terminate_orchestration("mother-1")
    state = final(hub, "mother")
    assert state.runtime_status == OrchestrationStatus.FAILED
    assert state.failure_details is not None
    assert "terminated" in state.failure_details.message


def test_termination_of_a_scheduled_start(hub: HubBackend) -> None:
    hub.register(orchestrators=[waits])
    at = datetime.now(UTC) + timedelta(hours=1)
    instance_id = hub.client.schedule_new_orchestration(waits, input="x", start_at=at)
    hub.client.terminate_orchestration(instance_id)
    assert status(hub, instance_id) == OrchestrationStatus.TERMINATED
    hub.restart()
    assert status(hub, instance_id) == OrchestrationStatus.TERMINATED


def test_a_suspended_instance_takes_no_step(backend: Backend) -> None:
    backend.register(orchestrators=[steps])
    instance_id = backend.client.schedule_new_orchestration(steps, input=2)
    backend.client.wait_for_orchestration_start(instance_id, timeout=10)
    backend.client.suspend_orchestration(instance_id)
    eventually(lambda: status(backend, instance_id) == OrchestrationStatus.SUSPENDED, what="suspension")
    backend.client.raise_orchestration_event(instance_id, "step")
    backend.client.raise_orchestration_event(instance_id, "step")
    with pytest.raises(TimeoutError):
        backend.client.wait_for_orchestration_completion(instance_id, timeout=0.5)
    assert status(backend, instance_id) == OrchestrationStatus.SUSPENDED
    backend.client.resume_orchestration(instance_id)
    assert final(backend, instance_id).get_output() == 2


def test_repeated_suspension_and_resumption_change_nothing(hub: HubBackend) -> None:
    hub.register(orchestrators=[steps])
    instance_id = hub.client.schedule_new_orchestration(steps, input=1)
    hub.client.resume_orchestration(instance_id)
    for _ in range(2):
        hub.client.suspend_orchestration(instance_id)
    becomes(hub, instance_id, OrchestrationStatus.SUSPENDED)
    hub.client.suspend_orchestration(instance_id)
    for _ in range(3):
        hub.client.resume_orchestration(instance_id)
    hub.client.raise_orchestration_event(instance_id, "step")
    assert final(hub, instance_id).get_output() == 1


def test_suspension_survives_a_restart_and_can_be_terminated(hub: HubBackend) -> None:
    hub.register(orchestrators=[steps])
    ids = [hub.client.schedule_new_orchestration(steps, input=1) for _ in range(2)]
    for instance_id in ids:
        hub.client.suspend_orchestration(instance_id)
        becomes(hub, instance_id, OrchestrationStatus.SUSPENDED)
        hub.client.raise_orchestration_event(instance_id, "step")
    hub.restart()
    assert [status(hub, i) for i in ids] == [OrchestrationStatus.SUSPENDED] * 2
    hub.client.terminate_orchestration(ids[0])
    assert status(hub, ids[0]) == OrchestrationStatus.TERMINATED
    hub.client.resume_orchestration(ids[1])
    assert final(hub, ids[1]).get_output() == 1


def test_queries_filter_and_page(backend: Backend) -> None:
    backend.register(orchestrators=[waits])
    ids = [f"q{number:02}" for number in range(7)]
    for instance_id in ids:
        backend.client.schedule_new_orchestration(waits, input="go", instance_id=instance_id)
    for instance_id in ids[:3]:
        backend.client.raise_orchestration_event(instance_id, "go", data=instance_id)
        final(backend, instance_id)
    for instance_id in ids[3:]:
        backend.client.wait_for_orchestration_start(instance_id, timeout=10)

    def found(**query: Any) -> list[str]:
        states = backend.client.get_all_orchestration_states(client.OrchestrationQuery(**query))
        return [state.instance_id for state in states]

    assert found() == ids
    assert found(max_instance_count=2) == ids
    assert found(runtime_status=[OrchestrationStatus.COMPLETED]) == ids[:3]
    assert found(runtime_status=[OrchestrationStatus.RUNNING], max_instance_count=3) == ids[3:]
    now = datetime.now(UTC)
    assert found(created_time_to=now, created_time_from=now - timedelta(minutes=5)) == ids
    assert found(created_time_from=now) == []


def test_queries_show_payloads_and_prefixes(hub: HubBackend) -> None:
    hub.register(orchestrators=[waits])
    for instance_id in ("a_1", "a%2", "b_1"):
        hub.client.schedule_new_orchestration(waits, input="go", instance_id=instance_id)
        hub.client.raise_orchestration_event(instance_id, "go", data=5)
        final(hub, instance_id)
    query = client.OrchestrationQuery(instance_id_prefix="a_", fetch_inputs_and_outputs=True)
    (state,) = hub.client.get_all_orchestration_states(query)
    assert (state.instance_id, state.get_input(), state.get_output()) == ("a_1", "go", 5)
    page = hub.client.list_instance_ids(page_size=2)
    assert list(page.items) == ["a_1", "a%2"]
    following = hub.client.list_instance_ids(page_size=2, continuation_token=page.continuation_token)
    assert list(following.items) == ["b_1"]


def test_purging_one_instance(backend: Backend) -> None:
    backend.register(orchestrators=[waits])
    instance_id = backend.client.schedule_new_orchestration(waits, input="go")
    backend.client.wait_for_orchestration_start(instance_id, timeout=10)
    assert backend.client.purge_orchestration(instance_id).deleted_instance_count == 0
    backend.client.raise_orchestration_event(instance_id, "go")
    final(backend, instance_id)
    assert backend.client.purge_orchestration(instance_id).deleted_instance_count == 1
    assert backend.client.get_orchestration_state(instance_id) is None
    assert backend.client.purge_orchestration(instance_id).deleted_instance_count == 0
    assert backend.client.purge_orchestration("nobody").deleted_instance_count == 0


def test_purging_by_filter(backend: Backend) -> None:
    backend.register(orchestrators=[waits])
    ids = [backend.client.schedule_new_orchestration(waits, input="go") for _ in range(4)]
    for instance_id in ids[:2]:
        backend.client.raise_orchestration_event(instance_id, "go")
        final(backend, instance_id)
    backend.client.terminate_orchestration(ids[2])
    final(backend, ids[2])
    purged = backend.client.purge_orchestrations_by(runtime_status=[OrchestrationStatus.COMPLETED])
    assert purged.deleted_instance_count == 2
    assert [status(backend, i) for i in ids[:2]] == [None, None]
    assert status(backend, ids[2]) == OrchestrationStatus.TERMINATED
    assert status(backend, ids[3]) is not None


def test_purging_takes_the_children_along(hub: HubBackend) -> None:
    hub.register(orchestrators=[family])
    for top in ("one", "two"):
        hub.client.schedule_new_orchestration(family, input=2, instance_id=top)
        for instance_id in (f"{top}-2-1", f"{top}-2", top):
            becomes(hub, instance_id, OrchestrationStatus.RUNNING)
            hub.client.raise_orchestration_event(instance_id, "end")
        final(hub, top)
    assert hub.client.purge_orchestration("one", recursive=False).deleted_instance_count == 1
    assert status(hub, "one-2") == OrchestrationStatus.COMPLETED
    assert hub.client.purge_orchestration("two", recursive=True).deleted_instance_count == 3
    assert [status(hub, i) for i in ("two", "two-2", "two-2-1")] == [None] * 3
    hub.restart()
    assert hub.client.purge_orchestrations_by(recursive=True).deleted_instance_count == 2


def test_a_purged_id_is_free_at_once(hub: HubBackend) -> None:
    hub.register(orchestrators=[waits])
    for number in range(5):
        hub.client.schedule_new_orchestration(waits, input="go", instance_id="phoenix")
        hub.client.raise_orchestration_event("phoenix", "go", data=number)
        assert final(hub, "phoenix").get_output() == number
        assert hub.client.purge_orchestration("phoenix").deleted_instance_count == 1
        if number % 2:
            hub.restart()
        assert status(hub, "phoenix") is None


def test_bad_ids_and_tokens_are_refused(hub: HubBackend) -> None:
    hub.register(orchestrators=[waits])
    for instance_id in ("@entity@key", "a\0b", "x" * 3000):
        with pytest.raises(RpcError) as refused:
            hub.client.schedule_new_orchestration(waits, input="go", instance_id=instance_id)
        assert refused.value.code() == StatusCode.INVALID_ARGUMENT
    with pytest.raises(RpcError) as refused:
        hub.client.list_instance_ids(continuation_token="yesterday")
    assert refused.value.code() == StatusCode.INVALID_ARGUMENT
