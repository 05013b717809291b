"""Operators, workers and endings at the same moment, and in any order: one outcome, no line twice."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.contract import SegmentInput
from activities.run_segment import run_segment
from activities.services import Services
from adapters.contract import Adapter, Idempotency, Operation, Outgoing, PushResult
from commands.foreseen import Counts
from commands.operating import Operated
from kernel.errors import Conflict, InDoubt, InvalidData
from store.runs import RunRow
from tests.integration.runs.test_exactly_once import Killed
from tests.integration.runs.test_operating import audited, failed, pending, running, suspended
from tests.integration.runs.test_repeats import DOWN, hooked
from tests.support.operators import act, begun, foreseen, go_on, settled
from tests.support.world import SteppingClock, Unstarted, World
from workflows.actions import Action, Effect
from workflows.states import TERMINAL_RUN_STATES, RunState, check_transition

REFUSED = InvalidData("The ledger is closed.")


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each call returns, or the conflict it raises, all of them at the same time."""

    def tried(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Conflict as exc:
            return exc

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(tried, calls))


def history(world: World, run: RunRow) -> list[RunState]:
    """The states the run went through, as the database recorded them."""
    query = "SELECT before, after FROM sluice.state_transition WHERE entity_id = %s ORDER BY id"
    steps = world.sql(query, [str(run.id)])
    assert [before for before, _ in steps] == [None, *(after for _, after in steps[:-1])]
    return [RunState(after) for _, after in steps]


def test_one_of_many_retries_counts(world: World) -> None:
    run, client = failed(world), Unstarted()
    done = at_once(*[lambda: act(world, run, Action.RETRY, client=client)] * 6)
    assert sum(isinstance(one, Operated) for one in done) == 1
    assert (world.run(run.id).execution, client.started) == (1, [(run.id, 1, 0)])
    assert [line[0] for line in audited(world, run)].count("run.retried") == 1
    assert go_on(world, run).state is RunState.SUCCEEDED


def test_one_of_many_requests_under_one_key_counts(world: World) -> None:
    run, client = failed(world), Unstarted()
    done = at_once(*[lambda: act(world, run, Action.REPLAY, key="k", client=client)] * 6)
    assert len({one.run.id for one in done}) == 1
    assert sorted(one.repeated for one in done) == [False, *[True] * 5]
    assert world.sql("SELECT count(*) FROM sluice.workflow_run") == [(2,)]
    assert len(client.started) == 1


def test_one_of_many_cancellations_counts(world: World) -> None:
    for situation in (pending, running, suspended):
        run = situation(world)
        done = at_once(*[partial(act, world, run, Action.CANCEL)] * 6)
        assert sum(one.effect is not Effect.NOTHING for one in done) == 1
        assert go_on(world, run).state is RunState.CANCELLED
        assert history(world, run).count(RunState.CANCELLED) == 1


def test_of_resume_and_cancel_the_cancellation_wins(world: World) -> None:
    for _ in range(5):
        run = suspended(world)
        cancelled, _ = at_once(
            *(partial(act, world, run, action) for action in (Action.CANCEL, Action.RESUME))
        )
        assert isinstance(cancelled, Operated)
        assert go_on(world, run).state is RunState.CANCELLED


@pytest.mark.parametrize("action", [Action.CANCEL, Action.PAUSE])
def test_an_action_and_the_work_at_once_have_one_outcome(world: World, action: Action) -> None:
    ends = Counter[RunState]()
    for number in range(8):
        run, before = begun(world, 3), len(world.ledger())
        wait = ThreadPoolExecutor(1)
        moment = list[Any]()

        def act_now(run: RunRow = run, wait: ThreadPoolExecutor = wait, moment: list[Any] = moment) -> None:
            if not moment:
                moment.append(wait.submit(at_once, lambda: act(world, run, action)))

        services = hooked(world, batch_size=1, **{("before_push", "after_push")[number % 2]: act_now})
        run = go_on(world, run, services)
        (said,) = moment[0].result()
        wait.shutdown()
        run = go_on(world, run) if run.state is not RunState.SUSPENDED else run
        fates = settled(world, run)
        assert fates.get("posted", 0) == len(world.ledger()) - before
        assert sum(fates.values()) == 3
        stopped = {Action.CANCEL: RunState.CANCELLED, Action.PAUSE: RunState.SUSPENDED}[action]
        assert run.state in (stopped, RunState.SUCCEEDED), run.failure
        assert isinstance(said, Operated) or run.state is RunState.SUCCEEDED
        assert history(world, run)[-1] is run.state
        ends[run.state] += 1
    assert ends.total() == 8


def test_a_retry_and_a_replay_at_once_post_each_line_once(world: World) -> None:
    for _ in range(3):
        run, before = failed(world), len(world.ledger())
        done = at_once(*(partial(act, world, run, action) for action in (Action.RETRY, Action.REPLAY)))
        assert isinstance(done[0], Operated)
        at_once(*(partial(go_on, world, one.run) for one in done if isinstance(one, Operated)))
        assert len(world.ledger()) - before == 2


# Any order ------------------------------------------------------------------------------------------

ALLOWED: dict[Action, set[tuple[str, str | None]]] = {
    Action.CANCEL: {("PENDING", None), ("PENDING", "pause"), ("RUNNING", None), ("RUNNING", "pause"),
                    ("RUNNING", "cancel"), ("SUSPENDED", None), ("CANCELLED", None)},
    Action.PAUSE: {("PENDING", None), ("PENDING", "pause"), ("RUNNING", None), ("RUNNING", "pause"),
                   ("SUSPENDED", None)},
    Action.RESUME: {("PENDING", None), ("PENDING", "pause"), ("RUNNING", None), ("RUNNING", "pause"),
                    ("SUSPENDED", None)},
    Action.RETRY: {("FAILED", None)},
    Action.REPLAY: {("FAILED", None), ("SUCCEEDED", None), ("CANCELLED", None)},
}  # fmt: skip
"""Written out again, so that a slip in the product's table is seen."""

FAULTS: dict[str, BaseException | None] = {
    "none": None,
    "refused": REFUSED,
    "down": DOWN,
    "lost": InDoubt("The connection broke."),
    "killed": Killed(),
}


@dataclass
class Recording:
    """A real adapter that can be looked up in, counts what it writes by key, and fails at one batch."""

    inner: Adapter
    written: Counter[str]
    left: list[int]
    fault: BaseException | None
    after: bool

    @property
    def operations(self) -> dict[str, Operation]:
        """One record a batch."""
        found = self.inner.operations
        return {
            name: replace(one, idempotency=Idempotency.LOOKUP, batch_size=1) for name, one in found.items()
        }

    def push(self, operation: str, parameters: Any, batch: Sequence[Outgoing]) -> list[PushResult]:
        """Write, and fail before or after it when it is time."""
        self.left[0] -= 1
        fails = self.fault if self.left[0] < 0 else None
        if fails and not (self.after and isinstance(fails, InDoubt | Killed)):
            raise fails
        results = self.inner.push(operation, parameters, batch)
        self.written.update(one.key for one in batch)
        if fails:
            raise fails
        return results

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass
class Office:
    """Runs of the same three lines, which operators and workers handle in any order."""

    world: World
    runs: list[UUID]
    written: Counter[str] = field(default_factory=Counter)

    def services(self, fault: str, batches: int, *, after: bool) -> Services:
        """A worker that meets a fault after so many batches."""
        left = [batches]
        return self.world.with_adapter(
            lambda inner: Recording(inner, self.written, left, FAULTS[fault], after)  # type: ignore[arg-type,return-value]
        )

    def operate(self, which: int, action: Action) -> None:
        """An operator tries something; what is allowed is what the model says."""
        run = self.world.run(self.runs[which % len(self.runs)])
        allowed = (run.state, run.requested) in ALLOWED[action]
        assert foreseen(self.world, run, action).allowed is allowed
        (done,) = at_once(lambda: act(self.world, run, action))
        assert isinstance(done, Operated) is allowed, (action, run.state, run.requested)
        if not allowed:
            assert self.world.run(run.id) == run
        elif done.effect is Effect.COPY:
            self.runs.append(done.run.id)

    def work(self, which: int, fault: str, batches: int, *, after: bool, late: bool) -> None:
        """A worker takes up the run's present execution, or the one before it."""
        run = self.world.run(self.runs[which % len(self.runs)])
        clock = self.world.services.clock
        assert isinstance(clock, SteppingClock)
        if run.wake_at and run.wake_at > clock():
            clock.skip(run.wake_at - clock())
        execution = run.execution - 1 if late and run.execution else run.execution
        asked = SegmentInput(str(run.id), run.segment, execution)
        try:
            run_segment(self.services(fault, batches, after=after), asked)
        except Killed:
            assert fault == "killed"
        self.check(run, self.world.run(run.id), overtaken=execution != run.execution)

    def check(self, before: RunRow, now: RunRow, *, overtaken: bool) -> None:
        """A worker obeys, changes nothing of what is over, and only goes where the table leads."""
        if overtaken or before.state in (*TERMINAL_RUN_STATES, RunState.SUSPENDED):
            assert now == before
        elif before.requested:
            assert now.state == {"cancel": "CANCELLED", "pause": "SUSPENDED"}[before.requested]
        else:
            assert now.state in (RunState.RUNNING, RunState.SUCCEEDED, RunState.FAILED), now.state
        assert max(self.written.values(), default=0) <= 1

    def finish(self) -> None:
        """Retry or replay the last run, with a forecast that holds."""
        run = self.world.run(self.runs[-1])
        if run.state not in TERMINAL_RUN_STATES:
            act(self.world, run, Action.CANCEL)
            run = go_on(self.world, run, self.services("none", 0, after=False))
        assert run.state in TERMINAL_RUN_STATES
        action = Action.RETRY if run.state is RunState.FAILED else Action.REPLAY
        said = foreseen(self.world, run, action, Idempotency.LOOKUP).steps[-1]
        before = self.written.total()
        ended = go_on(self.world, act(self.world, run, action).run, self.services("none", 0, after=False))
        assert ended.state is RunState.SUCCEEDED, ended.failure
        assert sorted(self.written.values()) == [1, 1, 1]
        posted, sure = self.written.total() - before, said.counts.posts + said.counts.posts_again
        if said.known:
            assert sure <= posted <= sure + said.counts.looks_up
            assert said.counts.holds == 0
        assert said.known or said.counts == Counts() or said.counts.elsewhere


ACTIONS = st.tuples(st.just("operate"), st.integers(0, 3), st.sampled_from(list(Action)))
WORKING = st.tuples(
    st.just("work"), st.integers(0, 3), st.sampled_from(list(FAULTS)), st.integers(0, 3), st.booleans(),
    st.booleans(),
)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(ACTIONS | WORKING, min_size=3, max_size=12))
def test_any_order_of_actions_and_work_writes_each_line_once(world: World, moves: list[Any]) -> None:
    office = Office(world, [begun(world, 3).id])
    for kind, *rest in moves:
        if kind == "operate":
            office.operate(*rest)
        else:
            which, fault, batches, after, late = rest
            office.work(which, fault, batches, after=after, late=late)
    office.finish()
    for run_id in office.runs:
        states = history(world, world.run(run_id))
        for before, after in itertools.pairwise(states):
            check_transition(before, after)
