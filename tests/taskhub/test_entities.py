"""Entities: signals, calls, locks, delayed signals, batches, queries."""

import threading
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from durabletask import client, task
from durabletask.client import OrchestrationStatus
from durabletask.entities import DurableEntity, EntityInstanceId

from tests.support.eventually import eventually
from tests.taskhub.backends import Backend, HubBackend

type Steps = Generator[task.Task[Any], Any, Any]
type Context = task.OrchestrationContext

COUNTER = EntityInstanceId("Counter", "one")
OTHER = EntityInstanceId("Counter", "two")


class Counter(DurableEntity):
    """Adds up."""

    def add(self, amount: int) -> int:
        total = self.get_state(int, 0) + amount
        self.set_state(total)
        return total

    def get(self, _: Any = None) -> int:
        return self.get_state(int, 0)

    def fail(self, text: str) -> None:
        self.set_state(-1000)
        raise ValueError(text)

    def drop(self, _: Any = None) -> None:
        self.delete()

    def forward(self, amount: int) -> None:
        self.signal_entity(OTHER, "add", amount)

    def start(self, instance_id: str) -> None:
        self.schedule_new_orchestration("greets", input="hi", instance_id=instance_id)


def greets(context: Context, text: str) -> str:
    return f"{text} there"


def value(backend: Backend, entity: EntityInstanceId = COUNTER) -> int | None:
    found = backend.client.get_entity(entity)
    return None if found is None or not found.includes_state else found.get_typed_state(int)


def result(backend: Backend, instance_id: str) -> Any:
    state = backend.client.wait_for_orchestration_completion(instance_id, timeout=20)
    assert state is not None
    assert state.runtime_status == OrchestrationStatus.COMPLETED, state.failure_details
    return state.get_output()


def test_signals_run_in_order(backend: Backend) -> None:
    backend.register(entities=[Counter])
    for amount in range(1, 21):
        backend.client.signal_entity(COUNTER, "add", amount)
    assert eventually(lambda: value(backend) == 210, what="the sum")


def test_calls_answer_and_failures_change_nothing(backend: Backend) -> None:
    def calls(context: Context, _: Any) -> Steps:
        first = yield context.call_entity(COUNTER, "add", 5)
        try:
            yield context.call_entity(COUNTER, "fail", "no")
        except task.TaskFailedError as error:
            return [first, "no" in str(error), (yield context.call_entity(COUNTER, "get"))]

    backend.register(orchestrators=[calls], entities=[Counter])
    assert result(backend, backend.client.schedule_new_orchestration(calls)) == [5, True, 5]


def test_entities_send_and_start(backend: Backend) -> None:
    backend.register(orchestrators=[greets], entities=[Counter])
    backend.client.signal_entity(COUNTER, "forward", 4)
    assert eventually(lambda: value(backend, OTHER) == 4, what="the forwarded signal")
    backend.client.signal_entity(COUNTER, "start", "started-by-entity")
    eventually(lambda: backend.client.get_orchestration_state("started-by-entity"), what="the orchestration")
    assert result(backend, "started-by-entity") == "hi there"


def test_an_unknown_entity_answers_with_a_failure(backend: Backend) -> None:
    def calls(context: Context, _: Any) -> Steps:
        try:
            yield context.call_entity(EntityInstanceId("nosuch", "key"), "get")
        except task.TaskFailedError as error:
            return str(error)

    backend.register(orchestrators=[calls], entities=[Counter])
    assert "nosuch" in result(backend, backend.client.schedule_new_orchestration(calls))


def test_locks_keep_others_out(backend: Backend) -> None:
    def transfer(context: Context, amount: int) -> Steps:
        with (yield context.lock_entities([COUNTER, OTHER])):
            left = yield context.call_entity(COUNTER, "get")
            yield context.create_timer(timedelta(milliseconds=20))
            yield context.call_entity(COUNTER, "add", -amount)
            yield context.call_entity(OTHER, "add", amount)
            assert (yield context.call_entity(COUNTER, "get")) == left - amount

    backend.register(orchestrators=[transfer], entities=[Counter])
    ids = [backend.client.schedule_new_orchestration(transfer, input=n) for n in range(1, 9)]
    for instance_id in ids:
        result(backend, instance_id)
    assert (value(backend), value(backend, OTHER)) == (-36, 36)


def test_only_the_owner_of_a_lock_gets_through(hub: HubBackend) -> None:
    def holds(context: Context, _: Any) -> Steps:
        with (yield context.lock_entities([COUNTER])):
            yield context.wait_for_external_event("signalled")
            seen = yield context.call_entity(COUNTER, "get")
        return seen

    def asks(context: Context, _: Any) -> Steps:
        return (yield context.call_entity(COUNTER, "get"))

    hub.register(orchestrators=[holds, asks], entities=[Counter])
    holder = hub.client.schedule_new_orchestration(holds)
    eventually(lambda: locked(hub), what="the lock")
    hub.client.signal_entity(COUNTER, "add", 3)
    asker = hub.client.schedule_new_orchestration(asks)
    hub.restart()
    hub.client.wait_for_orchestration_start(asker, timeout=10)
    assert locked(hub)
    hub.client.raise_orchestration_event(holder, "signalled")
    assert result(hub, holder) == 0
    assert result(hub, asker) == 3
    assert not locked(hub)


def locked(hub: HubBackend) -> bool:
    found = hub.hub.core.entities.get(str(COUNTER))
    return found is not None and found.lock_section is not None


def test_operations_before_a_lock_request_run_before_it(hub: HubBackend) -> None:
    def ordered(context: Context, rounds: int) -> Steps:
        seen = []
        for _ in range(rounds):
            context.signal_entity(COUNTER, "add", 1)
            with (yield context.lock_entities([COUNTER, OTHER])):
                seen.append((yield context.call_entity(COUNTER, "get")))
        return seen

    hub.register(orchestrators=[ordered], entities=[Counter])
    assert result(hub, hub.client.schedule_new_orchestration(ordered, input=5)) == [1, 2, 3, 4, 5]


def test_the_end_of_an_orchestration_releases_its_locks(hub: HubBackend) -> None:
    def holds(context: Context, _: Any) -> Steps:
        with (yield context.lock_entities([COUNTER])):
            yield context.wait_for_external_event("never")

    hub.register(orchestrators=[holds], entities=[Counter])
    first = hub.client.schedule_new_orchestration(holds)
    eventually(lambda: locked(hub), what="the lock")
    second = hub.client.schedule_new_orchestration(holds)
    hub.client.wait_for_orchestration_start(second, timeout=10)
    third = hub.client.schedule_new_orchestration(holds)
    hub.client.wait_for_orchestration_start(third, timeout=10)
    hub.restart()
    hub.client.terminate_orchestration(second)  # while it waits for the lock
    hub.client.terminate_orchestration(first)
    eventually(lambda: _owner(hub) == third, what="the third owner")
    hub.client.terminate_orchestration(third)
    eventually(lambda: not locked(hub), what="the release")
    hub.client.signal_entity(COUNTER, "add", 1)
    assert eventually(lambda: value(hub) == 1, what="the signal")


def _owner(hub: HubBackend) -> str | None:
    found = hub.hub.core.entities.get(str(COUNTER))
    return found.lock_owner if found else None


def test_delayed_signals_wait_also_over_a_restart(hub: HubBackend) -> None:
    hub.register(entities=[Counter])
    at = datetime.now(UTC) + timedelta(seconds=0.5)
    hub.client.signal_entity(COUNTER, "add", 7, signal_time=at)
    hub.restart()
    assert value(hub) is None
    eventually(lambda: value(hub) == 7, what="the signal")
    assert datetime.now(UTC) >= at


def test_state_survives_and_goes(hub: HubBackend) -> None:
    hub.register(entities=[Counter])
    hub.client.signal_entity(COUNTER, "add", 7)
    eventually(lambda: value(hub) == 7, what="the signal")
    hub.restart()
    assert value(hub) == 7
    hub.client.signal_entity(COUNTER, "drop")
    eventually(lambda: hub.client.get_entity(COUNTER) is None, what="the end")
    hub.client.signal_entity(OTHER, "add", 7)
    eventually(lambda: value(hub, OTHER) == 7, what="the signal")
    assert hub.client.purge_orchestration(str(OTHER)).deleted_instance_count == 1
    hub.restart()
    assert hub.client.get_all_entities() == []


def test_operations_that_wait_run_as_one_batch(hub: HubBackend) -> None:
    batches: set[int] = set()
    gate = threading.Event()
    slow = EntityInstanceId("Slow", "one")

    class Slow(DurableEntity):
        def add(self, amount: int) -> None:
            assert gate.wait(10)
            entity = hub.hub.core.entities.get(str(slow))
            assert entity is not None
            batches.add(len(entity.running or ()))
            self.set_state(self.get_state(int, 0) + amount)

    hub.register(entities=[Slow])
    hub.client.signal_entity(slow, "add", 1)
    eventually(lambda: _running(hub, slow), what="the first operation")
    for _ in range(10):
        hub.client.signal_entity(slow, "add", 1)
    gate.set()
    eventually(lambda: value(hub, slow) == 11, what="all")
    assert batches == {1, 10}


def _running(hub: HubBackend, entity_id: EntityInstanceId) -> bool:
    entity = hub.hub.core.entities.get(str(entity_id))
    return entity is not None and entity.running is not None


def _has_state(backend: Backend, entity_id: EntityInstanceId) -> bool:
    return value(backend, entity_id) is not None


def test_queries_over_entities(backend: Backend) -> None:
    backend.register(entities=[Counter])
    ids = [EntityInstanceId("Counter", key) for key in ("a", "b", "c")]
    for number, entity in enumerate(ids):
        backend.client.signal_entity(entity, "add", number)
        eventually(partial(_has_state, backend, entity), what="the state")
    found = backend.client.get_all_entities(client.EntityQuery(include_state=True, page_size=2))
    assert [(str(e.id), e.get_typed_state(int)) for e in found] == [
        ("@counter@a", 0),
        ("@counter@b", 1),
        ("@counter@c", 2),
    ]
    found = backend.client.get_all_entities(
        client.EntityQuery(instance_id_starts_with="@counter@b", include_state=False)
    )
    assert [str(e.id) for e in found] == ["@counter@b"]
    backend.client.clean_entity_storage()
    assert len(backend.client.get_all_entities()) == 3
