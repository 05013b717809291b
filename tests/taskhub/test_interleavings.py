"""Any order of events, timers, results, restarts and continuations gives what a simple model says."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from durabletask import task
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localhost.taskhub.clients import finished
from localhost.taskhub.dispatch import ACTIVITY, TURN
from localhost.taskhub.starts import NewInstance
from tests.support.sdk_dispatcher import SdkDispatcher
from tests.taskhub import workload
from tests.taskhub.engine import Bench

type Steps = Generator[task.Task[Any], Any, Any]

NAMES = ("alpha", "Beta")

# What an orchestrator does, one step after the other.
STEPS = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(NAMES)),
    st.tuples(st.just("timer"), st.integers(0, 30)),
    st.tuples(st.just("activity"), st.integers(0, 9)),
    st.tuples(st.just("child"), st.integers(0, 9)),
    st.tuples(st.just("both"), st.integers(1, 4)),
    st.tuples(st.just("anew"), st.just(0)),
)

# What happens to it meanwhile.
HAPPENINGS = st.one_of(
    st.tuples(st.just("raise"), st.sampled_from(NAMES)),
    st.tuples(st.just("turn"), st.integers(0, 5)),
    st.tuples(st.just("work"), st.integers(0, 5)),
    st.tuples(st.just("time"), st.integers(1, 20)),
    st.tuples(st.just("crash"), st.just(0)),
    st.tuples(st.just("suspend"), st.just(0)),
    st.tuples(st.just("resume"), st.just(0)),
)


def echo(_: task.ActivityContext, value: int) -> int:
    return value * 10


def child(context: task.OrchestrationContext, value: int) -> Steps:
    return (yield context.call_activity(echo, input=value))


def script(context: task.OrchestrationContext, state: dict[str, Any]) -> Steps:
    """Takes the steps it is given and returns what each of them gave."""
    log, steps = state["log"], deque(state["steps"])
    while steps:
        kind, value = steps.popleft()
        if kind == "anew":
            context.continue_as_new({"log": log, "steps": list(steps)}, save_events=True)
            return None
        log.append((yield from _take(context, kind, value)))
    return log


def _take(context: task.OrchestrationContext, kind: str, value: Any) -> Steps:
    if kind == "event":
        return (yield context.wait_for_external_event(value))
    if kind == "timer":
        yield context.create_timer(timedelta(seconds=value))
        return "rested"
    if kind == "child":
        return (yield context.call_sub_orchestrator(child, input=value))
    if kind == "both":
        return (yield task.when_all([context.call_activity(echo, input=n) for n in range(value)]))
    return (yield context.call_activity(echo, input=value))


@dataclass
class Model:
    """What has to come out: events go to waits of their name in order, everything else is a function."""

    steps: list[tuple[str, Any]]
    raised: dict[str, list[int]] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """The events that the orchestration still needs to come to its end."""
        wanted = [value.casefold() for kind, value in self.steps if kind == "event"]
        return [
            name
            for name in {value.casefold() for value in NAMES}
            for _ in range(wanted.count(name) - len(self.raised.get(name, [])))
        ]

    def output(self) -> list[Any]:
        """The log at the end."""
        events = {name: deque(values) for name, values in self.raised.items()}
        results: dict[str, Callable[[Any], Any]] = {
            "event": lambda value: events[value.casefold()].popleft(),
            "timer": lambda value: "rested",
            "child": lambda value: value * 10,
            "activity": lambda value: value * 10,
            "both": lambda value: [n * 10 for n in range(value)],
        }
        return [results[kind](value) for kind, value in self.steps if kind != "anew"]


class Run:
    """One orchestration on a bench, with the model beside it."""

    def __init__(self, bench: Bench, model: Model) -> None:
        self.bench = bench
        self.model = model
        self.counter = 0

    async def start(self) -> None:
        """Begin."""
        given = json.dumps({"log": [], "steps": self.model.steps})
        await self.bench.clients.start(NewInstance(id="s", name="script", input=given), None)

    async def happen(self, kind: str, value: Any) -> None:
        """One thing happens."""
        await getattr(self, f"_{kind}")(value)
        await self.bench.settle()

    async def finish(self) -> Any:
        """Give it all it needs, and let it come to its end."""
        await self._resume(0)
        for name in self.model.missing():
            await self._raise(name)
        for _ in range(60):
            await self.bench.work_off()
            view = await self.bench.clients.get("s")
            assert view is not None
            if view[0].HasField("completedTimestamp"):
                assert not view[0].HasField("failureDetails"), view[0].failureDetails
                return json.loads(view[0].output.value)
            await self.bench.pass_time(10)
        raise AssertionError("it does not come to its end")

    async def _raise(self, name: str) -> None:
        self.counter += 1
        spelled = name.upper() if self.counter % 2 else name
        await self.bench.clients.raise_event("s", spelled, str(self.counter))
        # An event to an instance that has already finished is lost.
        self.model.raised.setdefault(name.casefold(), []).append(self.counter)

    async def _turn(self, place: int) -> None:
        await self._do(TURN, place)

    async def _work(self, place: int) -> None:
        await self._do(ACTIVITY, place)

    async def _do(self, kind: str, place: int) -> None:
        held = self.bench.hands.held[kind]
        if held:
            await self.bench.hands.do(kind, place % len(held))

    async def _time(self, seconds: int) -> None:
        await self.bench.pass_time(seconds)

    async def _crash(self, _: int) -> None:
        await self.bench.crash()

    async def _suspend(self, _: int) -> None:
        await self.bench.clients.suspend("s", None)

    async def _resume(self, _: int) -> None:
        await self.bench.clients.resume("s", None)


def register(dispatcher: SdkDispatcher) -> None:
    """The functions above."""
    dispatcher.worker.add_orchestrator(script)
    dispatcher.worker.add_orchestrator(child)
    dispatcher.worker.add_activity(echo)


# Each example opens a hub of its own in a database that all of them share.
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=8), happenings=st.lists(HAPPENINGS, max_size=30))
def test_interleavings(hub_url: str, steps: list[tuple[str, Any]], happenings: list[tuple[str, Any]]) -> None:
    async def scenario() -> None:
        bench = await Bench.open(hub_url, f"run{uuid4().hex}", register)
        try:
            run = Run(bench, Model(steps))
            await run.start()
            for kind, value in happenings:
                await run.happen(kind, value)
            assert await run.finish() == run.model.output()
            workload.check_history(await bench.clients.history("s"))
            view = await bench.clients.wait("s", finished)
            assert view is not None
            await bench.crash()
            again = await bench.clients.get("s")
            assert again is not None
            assert again[0] == view[0]
            await bench.core.journal.durable()
            assert bench.core.timers.armed == 0
        finally:
            await bench.close()

    asyncio.run(scenario())
