"""Starting, running and waiting: what every implementation of the service does alike."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from grpc import RpcError, StatusCode

from tests.support.eventually import eventually
from tests.taskhub.backends import Backend, HubBackend

type Steps = Generator[task.Task[Any], Any, Any]
type Context = task.OrchestrationContext

SECOND = timedelta(seconds=1)


def double(_: task.ActivityContext, number: int) -> int:
    return number * 2


def broken(_: task.ActivityContext, text: str) -> None:
    raise ValueError(f"no good: {text}")


def one_step(context: Context, number: int) -> Steps:
    return (yield context.call_activity(double, input=number))


def chain(context: Context, length: int) -> Steps:
    number = 1
    for _ in range(length):
        number = yield context.call_activity(double, input=number)
    return number


def fan_out(context: Context, width: int) -> Steps:
    results: list[int] = yield task.when_all(
        [context.call_activity(double, input=number) for number in range(width)]
    )
    return sum(results)


def parent(context: Context, width: int) -> Steps:
    results: list[int] = yield task.when_all(
        [context.call_sub_orchestrator(one_step, input=number) for number in range(width)]
    )
    return sum(results)


def fails(context: Context, text: str) -> Steps:
    yield context.call_activity(broken, input=text)


def outer(context: Context, text: str) -> Steps:
    yield context.call_sub_orchestrator(fails, input=text)


def naps(context: Context, seconds: float) -> Steps:
    began = context.current_utc_datetime
    yield context.create_timer(timedelta(seconds=seconds))
    return (context.current_utc_datetime - began).total_seconds()


def waits(context: Context, names: list[str]) -> Steps:
    got = []
    for name in names:
        got.append((yield context.wait_for_external_event(name)))
    return got


def reports(context: Context, _: Any) -> Steps:
    context.set_custom_status({"phase": 1})
    yield context.wait_for_external_event("go")
    context.set_custom_status({"phase": 2})
    return "done"


def run(backend: Backend, function: Any, value: Any, **options: Any) -> Any:
    """Run an orchestration to its end; its state."""
    instance_id = backend.client.schedule_new_orchestration(function, input=value, **options)
    state = backend.client.wait_for_orchestration_completion(instance_id, timeout=30)
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [(one_step, 4, 8), (chain, 12, 4096), (fan_out, 60, 3540), (parent, 20, 380)],
)
def test_results_come_back(backend: Backend, function: Any, value: int, expected: int) -> None:
    backend.register(orchestrators={function, one_step}, activities=[double])
    state = run(backend, function, value)
    assert state.runtime_status == OrchestrationStatus.COMPLETED
    assert state.get_output() == expected
    assert state.get_input() == value
    assert state.created_at <= state.last_updated_at


def test_failures_keep_their_type_message_and_trace(backend: Backend) -> None:
    backend.register(orchestrators=[fails, outer], activities=[broken])
    details = run(backend, fails, "milk").failure_details
    assert details.error_type == "durabletask.task.TaskFailedError"
    assert details.inner_failure.error_type == "builtins.ValueError"
    assert details.inner_failure.message == "no good: milk"
    assert "broken" in details.inner_failure.stack_trace
    state = run(backend, outer, "milk")
    assert state.runtime_status == OrchestrationStatus.FAILED
    assert "no good: milk" in state.failure_details.message


def test_failure_details_of_children_nest(hub: HubBackend) -> None:
    hub.register(orchestrators=[fails, outer], activities=[broken])
    child = run(hub, outer, "milk").failure_details.inner_failure
    assert child.error_type == "durabletask.task.TaskFailedError"
    assert child.inner_failure.message == "no good: milk"


def test_unknown_functions_fail_the_orchestration(backend: Backend) -> None:
    backend.register(orchestrators=[one_step])
    assert "double" in run(backend, one_step, 1).failure_details.message
    assert "no_such" in run(backend, "no_such", 1).failure_details.message


def test_retries_follow_the_policy(backend: Backend) -> None:
    attempts: list[int] = []

    def flaky(_: task.ActivityContext, limit: int) -> int:
        attempts.append(1)
        if len(attempts) < limit:
            raise ValueError("not yet")
        return len(attempts)

    policy = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=4)

    def stubborn(context: Context, limit: int) -> Steps:
        return (yield context.call_activity(flaky, input=limit, retry_policy=policy))

    def twice(context: Context, limit: int) -> Steps:
        return (yield context.call_sub_orchestrator(once, input=limit, retry_policy=policy))

    def once(context: Context, limit: int) -> Steps:
        return (yield context.call_activity(flaky, input=limit))

    backend.register(orchestrators=[stubborn, twice, once], activities=[flaky])
    assert run(backend, stubborn, 3).get_output() == 3
    attempts.clear()
    assert run(backend, twice, 3).get_output() == 3
    attempts.clear()
    assert run(backend, stubborn, 9).runtime_status == OrchestrationStatus.FAILED
    assert len(attempts) == 4


def test_timers_fire_when_they_are_due(backend: Backend) -> None:
    backend.register(orchestrators=[naps])
    assert 0.3 <= run(backend, naps, 0.3).get_output() < 3
    assert run(backend, naps, -5).get_output() < 3


def test_events_arrive_in_order_whenever_they_were_sent(backend: Backend) -> None:
    backend.register(orchestrators=[waits])
    client = backend.client
    instance_id = client.schedule_new_orchestration(waits, input=["First", "second", "FIRST"])
    # Before any wait for them exists, and in another case than the orchestrator writes.
    client.raise_orchestration_event(instance_id, "first", data=1)
    client.raise_orchestration_event(instance_id, "first", data=2)
    client.wait_for_orchestration_start(instance_id, timeout=10)
    client.raise_orchestration_event(instance_id, "SECOND", data={"x": [1, None]})
    state = client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    assert state.get_output() == [1, {"x": [1, None]}, 2]


def test_custom_status_shows_while_it_runs(backend: Backend) -> None:
    backend.register(orchestrators=[reports])
    instance_id = backend.client.schedule_new_orchestration(reports)

    def phase() -> Any:
        state = backend.client.get_orchestration_state(instance_id)
        return state and state.serialized_custom_status and state.get_custom_status()

    assert eventually(phase, what="a custom status") == {"phase": 1}
    backend.client.raise_orchestration_event(instance_id, "go")
    state = backend.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    assert state.get_custom_status() == {"phase": 2}


def test_an_id_in_use_is_refused(backend: Backend) -> None:
    backend.register(orchestrators=[waits])
    backend.client.schedule_new_orchestration(waits, input=["go"], instance_id="taken")
    with pytest.raises(RpcError) as refused:
        backend.client.schedule_new_orchestration(waits, input=["go"], instance_id="taken")
    assert refused.value.code() == StatusCode.ALREADY_EXISTS


def test_a_finished_instance_gives_way_by_default(hub: HubBackend) -> None:
    hub.register(orchestrators=[one_step], activities=[double])
    assert run(hub, one_step, 1, instance_id="again").get_output() == 2
    assert run(hub, one_step, 2, instance_id="again").get_output() == 4


def test_unknown_instances(backend: Backend) -> None:
    assert backend.client.get_orchestration_state("nobody") is None
    for call in (
        lambda: backend.client.raise_orchestration_event("nobody", "hello"),
        lambda: backend.client.suspend_orchestration("nobody"),
        lambda: backend.client.resume_orchestration("nobody"),
        lambda: backend.client.restart_orchestration("nobody"),
        lambda: backend.client.rewind_orchestration("nobody"),
        lambda: backend.client.get_orchestration_history("nobody"),
    ):
        with pytest.raises(Exception) as refused:  # noqa: PT011 - clients wrap some of them
            call()
        cause = refused.value if isinstance(refused.value, RpcError) else refused.value.__cause__
        assert isinstance(cause, RpcError) or isinstance(refused.value, ValueError)


def test_a_scheduled_start_waits_for_its_time(hub: HubBackend) -> None:
    hub.register(orchestrators=[waits])
    at = datetime.now(UTC) + timedelta(seconds=0.4)
    instance_id = hub.client.schedule_new_orchestration(waits, input=["go"], start_at=at)
    hub.client.raise_orchestration_event(instance_id, "go", data="early")
    state = hub.client.get_orchestration_state(instance_id)
    assert state is not None
    assert state.runtime_status == OrchestrationStatus.PENDING
    hub.restart()
    state = hub.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    assert state.get_output() == ["early"]
    assert state.last_updated_at >= at.replace(tzinfo=None)


def test_tags_and_version_stay_with_the_instance(hub: HubBackend) -> None:
    seen: list[str | None] = []

    def versioned(context: Context, _: Any) -> Steps:
        seen.append(context.version)
        yield context.create_timer(timedelta())
        return context.version

    hub.register(orchestrators=[versioned])
    instance_id = hub.client.schedule_new_orchestration(versioned, version="1.7", tags={"team": "blue"})
    hub.restart()
    state = hub.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    assert state.get_output() == "1.7"
    response = hub.run(_tags(hub, instance_id))
    assert response == {"team": "blue"}


async def _tags(hub: HubBackend, instance_id: str) -> dict[str, str]:
    instance = await hub.hub.core.registry.find(instance_id)
    assert instance is not None
    return instance.tags


def test_a_restart_loses_nothing(hub: HubBackend) -> None:
    ran: list[int] = []

    def counted(_: task.ActivityContext, number: int) -> int:
        ran.append(number)
        return number

    def long(context: Context, _: Any) -> Steps:
        first = yield context.call_activity(counted, input=1)
        event = yield context.wait_for_external_event("go")
        yield context.create_timer(timedelta(seconds=0.3))
        last = yield context.call_activity(counted, input=2)
        return [first, event, last]

    hub.register(orchestrators=[long, waits], activities=[counted])
    instance_id = hub.client.schedule_new_orchestration(long)
    untouched = hub.client.schedule_new_orchestration(waits, input=["never", "come"])
    eventually(lambda: ran, what="the first activity")
    hub.restart()
    hub.client.raise_orchestration_event(instance_id, "go", data=7)
    hub.client.raise_orchestration_event(untouched, "come", data=8)
    hub.restart()
    state = hub.client.wait_for_orchestration_completion(instance_id, timeout=10)
    assert state is not None
    assert state.get_output() == [1, 7, 2]
    assert ran[-1] == 2
    hub.client.raise_orchestration_event(untouched, "never", data=9)
    state = hub.client.wait_for_orchestration_completion(untouched, timeout=10)
    assert state is not None
    assert state.get_output() == [9, 8]


def test_long_inputs_and_outputs_survive(hub: HubBackend) -> None:
    def echo(context: Context, text: str) -> Steps:
        yield context.create_timer(timedelta())
        return text[::-1]

    text = "grün\u0000" * 20_000
    hub.register(orchestrators=[echo])
    instance_id = hub.client.schedule_new_orchestration(echo, input=text)
    state = hub.client.wait_for_orchestration_completion(instance_id, timeout=30, fetch_payloads=False)
    assert state is not None
    assert state.serialized_output is None
    assert hub.run(_output(hub, instance_id)) == len(text)


async def _output(hub: HubBackend, instance_id: str) -> int:
    import json

    instance = await hub.hub.core.registry.find(instance_id)
    assert instance is not None
    return len(json.loads(instance.output or "null"))
