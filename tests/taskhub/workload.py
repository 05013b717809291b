"""A workload that uses everything, with a result that can be checked to the last bit after any crashes."""

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from durabletask import task
from durabletask.entities import DurableEntity, EntityInstanceId
from durabletask.internal import orchestrator_service_pb2 as pb

from tests.support.sdk_dispatcher import SdkDispatcher

type Steps = Generator[task.Task[Any], Any, Any]
type Context = task.OrchestrationContext

CHILDREN = 3
ROUNDS = 3
EVENTS = 4
TALLY = EntityInstanceId("Tally", "t")


class Tally(DurableEntity):
    """Counts what it is told. Its state is exact even if its code ran more than once."""

    def add(self, amount: int) -> int:
        total = self.get_state(int, 0) + amount
        self.set_state(total)
        return total


@dataclass
class Effects:
    """What activities did to the outside world: how often each step of each instance ran."""

    record: Callable[[str], None]

    def step(self) -> Any:
        """The activity function."""

        def step(context: task.ActivityContext, number: int) -> int:
            self.record(f"{context.orchestration_id}#{context.task_id}")
            return number + 1

        return step


def child(context: Context, number: int) -> Steps:
    first = yield context.call_activity("step", input=number)
    yield context.create_timer(timedelta(milliseconds=2))
    return (yield context.call_activity("step", input=first))


def rounds(context: Context, state: dict[str, int]) -> Steps:
    """Goes on as new until it has done its rounds."""
    total = yield context.call_activity("step", input=state["total"])
    context.signal_entity(TALLY, "add", 1)
    if state["left"] > 1:
        context.continue_as_new({"left": state["left"] - 1, "total": total}, save_events=True)
        return None
    return total


def whole(context: Context, _: Any) -> Steps:
    """Children, rounds, entity calls under a lock, and events from outside."""
    children = [context.call_sub_orchestrator(child, input=n) for n in range(CHILDREN)]
    turning = context.call_sub_orchestrator(rounds, input={"left": ROUNDS, "total": 0})
    results = yield task.when_all([*children, turning])
    with (yield context.lock_entities([TALLY])):
        yield context.call_entity(TALLY, "add", 100)
        counted = yield context.call_entity(TALLY, "add", 1000)
    events: list[int] = []
    while len(set(events)) < EVENTS:
        events.append((yield context.wait_for_external_event("number")))
    return {"results": results, "counted": counted, "events": list(dict.fromkeys(events))}


EXPECTED_RESULTS = [*(n + 2 for n in range(CHILDREN)), ROUNDS]
# Signals of an orchestration arrive in order, and all rounds are over before the lock is asked for.
EXPECTED = {"results": EXPECTED_RESULTS, "counted": 1100 + ROUNDS, "events": list(range(EVENTS))}


def register(dispatcher: SdkDispatcher, effects: Effects) -> None:
    """Make the workload's functions known."""
    for orchestrator in (child, rounds, whole):
        dispatcher.worker.add_orchestrator(orchestrator)
    dispatcher.worker.add_activity(effects.step())
    dispatcher.worker.add_entity(Tally)


@dataclass
class Tallied:
    """How often things happened according to one history."""

    scheduled: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)


_SCHEDULES = {
    "taskScheduled": "task",
    "timerCreated": "timer",
    "subOrchestrationInstanceCreated": "child",
}
_SETTLES: dict[str, Callable[[pb.HistoryEvent], str]] = {
    "taskCompleted": lambda event: f"task {event.taskCompleted.taskScheduledId}",
    "timerFired": lambda event: f"timer {event.timerFired.timerId}",
    "subOrchestrationInstanceCompleted": (
        lambda event: f"child {event.subOrchestrationInstanceCompleted.taskScheduledId}"
    ),
    "entityOperationCompleted": lambda event: f"call {event.entityOperationCompleted.requestId}",
    "entityLockGranted": lambda event: f"lock {event.entityLockGranted.criticalSectionId}",
    "executionCompleted": lambda event: "end",
    "executionStarted": lambda event: "start",
}


def check_history(events: list[pb.HistoryEvent]) -> None:
    """Everything that was begun has ended exactly once, and so has the instance."""
    tallied = Tallied()
    for event in events:
        kind = event.WhichOneof("eventType") or ""
        if kind in _SCHEDULES:
            tallied.scheduled[f"{_SCHEDULES[kind]} {event.eventId}"] += 1
        if kind in _SETTLES:
            tallied.settled[_SETTLES[kind](event)] += 1
    assert set(tallied.scheduled.values()) <= {1}
    assert set(tallied.settled.values()) == {1}, tallied.settled
    assert tallied.scheduled.keys() <= tallied.settled.keys()
    assert tallied.settled["end"] == tallied.settled["start"] == 1
