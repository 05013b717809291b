"""What commands do with the orchestrations of runs, on a real hub: start, wake, look, stop, purge."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

from durabletask.client import OrchestrationStatus
from durabletask.task import OrchestrationContext

from commands.orchestrations import DurableOrchestrations, Liveness
from kernel.ids import new_id
from orchestrators.names import WAKE
from tests.support.eventually import eventually
from tests.taskhub.backends import HubBackend

type Steps = Generator[Any, Any, dict[str, Any] | None]


def page(context: OrchestrationContext, _given: Any) -> Steps:
    """Goes on until it is told."""
    yield context.wait_for_external_event(WAKE)
    return {}


def workflow_run(context: OrchestrationContext, given: dict[str, Any]) -> Steps:
    """Begins a page, goes on with a new history, begins another one, and waits."""
    turn = given.get("turn", 0)
    yield context.call_sub_orchestrator(page, input=turn, instance_id=f"{given['run_id']}:{turn}")
    if turn == 0:
        context.continue_as_new({**given, "turn": 1}, save_events=True)
        return None
    yield context.wait_for_external_event(WAKE)
    return {}


def status(hub: HubBackend, instance_id: str) -> OrchestrationStatus | None:
    state = hub.client.get_orchestration_state(instance_id)
    return state.runtime_status if state else None


def is_there(hub: HubBackend, instance_id: str) -> None:
    eventually(lambda: status(hub, instance_id) == OrchestrationStatus.RUNNING, what=f"{instance_id} runs")


def test_stopping_a_run_leaves_those_below_to_end_by_themselves(hub: HubBackend) -> None:
    """Azure's extension does not reach them, so that nothing may depend on it."""
    hub.register(orchestrators=[workflow_run, page])
    durable, run_id = DurableOrchestrations(hub.client), new_id()
    durable.start(run_id)
    is_there(hub, f"{run_id}:0")
    durable.stop(run_id, 0)
    eventually(lambda: durable.liveness(run_id, 0) is Liveness.ENDED, what="it has been stopped")
    assert status(hub, f"{run_id}:0") == OrchestrationStatus.RUNNING
    hub.client.raise_orchestration_event(f"{run_id}:0", WAKE)
    eventually(lambda: status(hub, f"{run_id}:0") == OrchestrationStatus.COMPLETED, what="it ends")


def test_what_a_run_began_before_it_went_on_with_a_new_history_is_purged_by_its_age(hub: HubBackend) -> None:
    hub.register(orchestrators=[workflow_run, page])
    durable, run_id, going = DurableOrchestrations(hub.client), new_id(), new_id()
    pages = [f"{run_id}:0", f"{run_id}:1"]
    for one in (run_id, going):
        durable.start(one)
        is_there(hub, f"{one}:0")
    for name in pages:
        is_there(hub, name)
        hub.client.raise_orchestration_event(name, WAKE)
    eventually(lambda: status(hub, pages[1]) == OrchestrationStatus.COMPLETED, what="the pages end")
    durable.wake(run_id, 0)
    eventually(lambda: durable.liveness(run_id, 0) is Liveness.ENDED, what="the run ends")
    durable.purge(run_id, 0)
    assert durable.liveness(run_id, 0) is Liveness.MISSING
    assert [status(hub, name) for name in pages] == [OrchestrationStatus.COMPLETED] * 2
    now = datetime.now(UTC)
    assert durable.purge_begun_before(now - timedelta(hours=1)) == 0
    assert durable.purge_begun_before(now + timedelta(hours=1)) == 2
    assert [status(hub, name) for name in pages] == [None, None]
    assert durable.liveness(going, 0) is Liveness.ALIVE, "what goes on is not purged, however old"
