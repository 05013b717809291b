"""What operators do to runs, in which states, and what each action leaves in the database."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from activities.contract import Next
from commands.orchestrations import Liveness
from commands.recovery import QUIET, WAKE_GRACE, sweep_runs
from kernel.durations import parse_duration
from kernel.errors import Conflict, InvalidData, NotFound
from store.blobs import CONTEXT
from store.runs import RunRow
from tests.integration.runs.test_repeats import DOWN, hooked, raising
from tests.integration.runs.test_segments import LOG, definition
from tests.support.operators import OPERATOR, act, at, begun, go_on, plain, settled
from tests.support.world import ADA, SteppingClock, Unstarted, World, one_segment, waits
from workflows.actions import Action, Effect, possible_actions
from workflows.states import RunState, TaskState

REFUSED = InvalidData("The ledger is closed.")


class Unreachable(Unstarted):
    """Durable execution that does not answer."""

    def start(self, run_id: UUID, execution: int = 0, segment: int = 0) -> None:
        """No answer."""
        raise ConnectionError

    def wake(self, run_id: UUID, execution: int) -> None:
        """No answer."""
        raise ConnectionError


def audited(world: World, run: RunRow) -> list[tuple[str, str, str | None]]:
    """Action, actor and reason of what was done to a run, oldest first."""
    query = (
        "SELECT action, actor, details ->> 'reason' FROM sluice.audit_event WHERE subject = %s ORDER BY id"
    )
    return [(row[0], row[1], row[2]) for row in world.sql(query, [str(run.id)])]


def pending(world: World) -> RunRow:
    """Committed, nothing executes it."""
    return begun(world, 2)


def running(world: World) -> RunRow:
    """It waits for its second attempt."""
    run = begun(world, 2)
    assert waits(one_segment(hooked(world, before_push=raising(DOWN)), run.id))
    return world.run(run.id)


def suspended(world: World) -> RunRow:
    """Paused before its first effect."""
    run = begun(world, 2)
    act(world, run, Action.PAUSE)
    return go_on(world, run)


def succeeded(world: World) -> RunRow:
    """All is posted."""
    return go_on(world, begun(world, 2))


def failed(world: World) -> RunRow:
    """Nothing is posted."""
    return go_on(world, begun(world, 2), hooked(world, before_push=raising(REFUSED)))


def cancelled(world: World) -> RunRow:
    """It never began."""
    run = begun(world, 2)
    act(world, run, Action.CANCEL)
    return world.run(run.id)


ALLOWED: dict[Callable[[World], RunRow], dict[Action, RunState]] = {
    pending: {Action.CANCEL: RunState.CANCELLED, Action.PAUSE: RunState.SUSPENDED},
    running: {Action.CANCEL: RunState.CANCELLED, Action.PAUSE: RunState.SUSPENDED},
    suspended: {Action.CANCEL: RunState.CANCELLED, Action.RESUME: RunState.SUCCEEDED},
    succeeded: {Action.REPLAY: RunState.SUCCEEDED},
    failed: {Action.RETRY: RunState.SUCCEEDED, Action.REPLAY: RunState.SUCCEEDED},
    cancelled: {Action.REPLAY: RunState.SUCCEEDED},
}
"""Where an action leads once the run has had the time to obey."""
UNCHANGED = {
    (pending, Action.RESUME), (running, Action.RESUME), (suspended, Action.PAUSE), (cancelled, Action.CANCEL),
}  # fmt: skip


@pytest.mark.parametrize("situation", list(ALLOWED), ids=lambda situation: situation.__name__)
def test_every_action_in_every_state(world: World, situation: Callable[[World], RunRow]) -> None:
    for action in Action:
        run = situation(world)
        assert run.state == situation.__name__.upper()
        before = audited(world, run)
        expected = ALLOWED[situation].get(action)
        if expected is not None:
            done = act(world, run, action)
            assert go_on(world, done.run).state is expected
            assert len(audited(world, run)) > len(before)
            continue
        if (situation, action) in UNCHANGED:
            assert act(world, run, action).effect is Effect.NOTHING
        else:
            with pytest.raises(Conflict, match=run.state):
                act(world, run, action)
        assert (world.run(run.id), audited(world, run)) == (run, before)


def test_an_unknown_run_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        act(world, uuid4(), Action.CANCEL)


def test_cancelling_a_run_that_has_not_begun_ends_it_at_once(world: World) -> None:
    run, client = pending(world), Unstarted()
    act(world, run, Action.PAUSE)
    done = act(world, run, Action.CANCEL, client=client)
    assert (done.run.state, done.run.requested) == (RunState.CANCELLED, None)
    assert done.run.finished_at is not None
    assert {task.state for task in world.tasks(run.id).values()} == {TaskState.CANCELLED}
    assert client.woken == []
    assert one_segment(world.services, run.id).next is Next.ENDED
    assert world.ledger() == []
    who = "SELECT DISTINCT actor FROM sluice.state_transition WHERE after = 'CANCELLED'"
    assert world.sql(who) == [(OPERATOR,)]


def test_what_was_done_is_audited_with_its_reason(world: World) -> None:
    run = pending(world)
    for action in (Action.PAUSE, Action.RESUME, Action.PAUSE):
        act(world, run, action, reason=f"{action} it")
    go_on(world, run)
    act(world, run, Action.RESUME, reason="go on")
    go_on(world, run, hooked(world, before_push=raising(REFUSED)))
    act(world, run, Action.RETRY, reason="try")
    go_on(world, run)
    again = act(world, run, Action.REPLAY, reason="once more").run
    said = [line for line in audited(world, run) if line[1] == OPERATOR]
    assert [(action, reason) for action, _, reason in said] == [
        ("run.pause_requested", "pause it"),
        ("run.pause_withdrawn", "resume it"),
        ("run.pause_requested", "pause it"),
        ("run.resumed", "go on"),
        ("run.retried", "try"),
        ("run.replayed", "once more"),
    ]
    assert [line[0] for line in audited(world, again)] == ["run.started"]


def test_a_pause_before_the_beginning_is_obeyed_before_the_first_effect(world: World) -> None:
    read: list[int] = []
    run = pending(world)
    act(world, run, Action.PAUSE)
    run = go_on(world, run, hooked(world, before_fetch=lambda: read.append(1)))
    assert (run.state, run.requested, read) == (RunState.SUSPENDED, None, [])


def test_a_pause_that_is_withdrawn_does_not_happen(world: World) -> None:
    run = begun(world, 2)

    def change_of_mind() -> None:
        act(world, run, Action.PAUSE)
        act(world, run, Action.RESUME)

    ended = go_on(world, run, hooked(world, batch_size=1, before_push=at(1, change_of_mind)))
    assert ended.state is RunState.SUCCEEDED


def test_cancel_overrides_pause_and_nothing_overrides_cancel(world: World) -> None:
    run = running(world)
    act(world, run, Action.PAUSE)
    act(world, run, Action.CANCEL)
    assert world.run(run.id).requested == "cancel"
    assert act(world, run, Action.CANCEL).effect is Effect.NOTHING
    for action in (Action.PAUSE, Action.RESUME, Action.RETRY, Action.REPLAY):
        with pytest.raises(Conflict, match="asked to cancel"):
            act(world, run, action)
    assert go_on(world, run).state is RunState.CANCELLED


def test_a_run_that_waits_for_its_next_attempt_is_woken_to_obey(world: World) -> None:
    run, client = running(world), Unstarted()
    clock = world.deployment.clock
    assert run.wake_at is not None
    assert run.wake_at > clock()
    act(world, run, Action.CANCEL, client=client)
    assert client.woken == [(run.id, 0)]
    assert go_on(world, run).state is RunState.CANCELLED
    assert clock() < run.wake_at + timedelta(seconds=1)


@pytest.mark.parametrize(("action", "state"), [(Action.PAUSE, "SUSPENDED"), (Action.CANCEL, "CANCELLED")])
def test_a_run_that_waits_to_read_again_obeys_before_it_reads(
    world: World, action: Action, state: str
) -> None:
    read: list[int] = []

    def away() -> None:
        read.append(1)
        raise DOWN

    run, services = pending(world), hooked(world, before_fetch=away)
    assert waits(one_segment(services, run.id))
    act(world, run, action)
    one_segment(services, run.id)
    assert (world.run(run.id).state, read) == (state, [1])


def test_retry_begins_a_new_execution_with_fresh_attempts_and_time(world: World) -> None:
    run = begun(world, 2, more="timeout: 1h")
    run = go_on(world, run, hooked(world, before_push=raising(*[DOWN] * 3)))
    assert (run.state, len(world.tasks(run.id)["post"].attempts)) == (RunState.FAILED, 3)
    clock, client = world.deployment.clock, Unstarted()
    assert isinstance(clock, SteppingClock)
    clock.skip(timedelta(hours=3))
    done = act(world, run, Action.RETRY, client=client).run
    assert client.started == [(run.id, 1, 0)]
    assert (done.state, done.execution, done.segment, done.recoveries) == (RunState.RUNNING, 1, 0, 0)
    assert (done.failure, done.finished_at, done.totals, done.wake_at) == (None, None, None, None)
    assert done.deadline_at is not None
    assert timedelta() <= done.deadline_at - clock() <= parse_duration("1h")
    ended = go_on(world, run, hooked(world, before_push=raising(*[DOWN] * 2)))
    assert ended.state is RunState.SUCCEEDED, ended.failure
    executions = [attempt["execution"] for attempt in world.tasks(run.id)["post"].attempts]
    assert executions == [0, 0, 0, 1, 1]


def test_an_execution_before_the_retry_changes_nothing(world: World) -> None:
    run = failed(world)
    act(world, run, Action.RETRY)
    assert one_segment(world.services, run.id, execution=0).next is Next.ENDED
    assert (world.ledger(), world.run(run.id).state) == ([], RunState.RUNNING)
    assert go_on(world, run).state is RunState.SUCCEEDED


def test_retry_in_a_later_segment_leaves_the_earlier_write_alone(world: World) -> None:
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    one_segment(world.services, run.id)
    run = go_on(world, run, hooked(world, before_push=raising(REFUSED)))
    assert (run.state, len(world.ledger())) == (RunState.FAILED, 3)
    act(world, run, Action.RETRY)
    pushed: list[int] = []
    run = go_on(world, run, hooked(world, before_push=lambda: pushed.append(1)))
    assert (run.state, len(pushed), len(world.ledger())) == (RunState.SUCCEEDED, 1, 6)


def test_what_a_late_execution_tidies_up_is_its_own(world: World) -> None:
    """The run is retried after the execution that failed has said so, and before it deletes its blobs."""
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    one_segment(world.services, run.id)
    contexts = type(world.services.contexts).__new__(type(world.services.contexts))

    def retried_meanwhile(run_id: UUID, execution: int) -> None:
        act(world, run, Action.RETRY)
        assert one_segment(world.services, run.id, execution=1).next is Next.CONTINUE
        world.services.contexts.destroy(run_id, execution)

    contexts.__dict__.update(world.services.contexts.__dict__, destroy=retried_meanwhile)
    refused = replace(hooked(world, before_push=raising(REFUSED)), contexts=contexts)
    one_segment(refused, run.id, 1)
    assert world.run(run.id).state is RunState.RUNNING
    ended = go_on(world, run)
    assert (ended.state, len(world.ledger())) == (RunState.SUCCEEDED, 6), ended.failure
    assert world.services.blobs.delete_prefix(CONTEXT, f"{run.id}/") == 0


def test_a_run_can_be_retried_again_and_again(world: World) -> None:
    run = begun(world, 4)
    for number in range(3):
        services = hooked(world, batch_size=1, before_push=raising(None, REFUSED))
        run = go_on(world, run, services)
        assert (run.state, len(world.ledger())) == (RunState.FAILED, number + 1)
        act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert (run.state, run.execution, settled(world, run)) == (RunState.SUCCEEDED, 3, {"posted": 4})


def test_replay_keeps_version_and_inputs_and_says_whose_it_is(world: World) -> None:
    run, client = succeeded(world), Unstarted()
    world.publish(plain(more="timeout: 2h"))
    again = act(world, run, Action.REPLAY, client=client).run
    assert client.started == [(again.id, 0, 0)]
    assert (again.version_id, again.version, again.inputs) == (run.version_id, 1, run.inputs)
    assert (again.replay_of, again.requested_by, again.reason) == (run.id, OPERATOR, "because")
    assert world.run(run.id) == run


def test_a_run_that_repairs_dead_letters_is_not_replayed(world: World) -> None:
    first, run = succeeded(world), succeeded(world)
    world.sql("UPDATE sluice.workflow_run SET repair_of = %s WHERE id = %s RETURNING id", [first.id, run.id])
    with pytest.raises(Conflict, match="dead letters"):
        act(world, run, Action.REPLAY)
    assert possible_actions(run.state, None, repairs=True) == []


def test_the_same_key_does_it_once(world: World) -> None:
    for action in (Action.RETRY, Action.REPLAY, Action.CANCEL, Action.PAUSE):
        run = failed(world) if action in (Action.RETRY, Action.REPLAY) else running(world)
        client, key = Unstarted(), f"key of {action}"
        first, second = (act(world, run, action, key=key, client=client) for _ in range(2))
        assert (second.run.id, second.effect, second.repeated) == (first.run.id, first.effect, True)
        assert len(client.started) + len(client.woken) == 1
        with pytest.raises(Conflict, match="another request"):
            act(world, run, action, key=key, reason="something else")
    other = act(world, failed(world), Action.RETRY, key="key of retry", person=ADA)
    assert other.repeated is False


def test_a_second_retry_without_a_key_is_refused(world: World) -> None:
    run = failed(world)
    act(world, run, Action.RETRY)
    with pytest.raises(Conflict, match="RUNNING"):
        act(world, run, Action.RETRY)
    assert world.run(run.id).execution == 1


def test_a_sweep_does_what_durable_execution_was_not_told(world: World) -> None:
    clock = world.deployment.clock
    assert isinstance(clock, SteppingClock)
    for situation, action in (
        (running, Action.CANCEL), (suspended, Action.CANCEL), (suspended, Action.RESUME),
        (failed, Action.RETRY), (failed, Action.REPLAY),
    ):  # fmt: skip
        done = act(world, situation(world), action, client=Unreachable()).run
        clock.skip(max(QUIET, WAKE_GRACE) + timedelta(seconds=1))
        client, starts = Unstarted(), action in (Action.RETRY, Action.REPLAY)
        client.alive[done.id, done.execution] = Liveness.MISSING if starts else Liveness.ALIVE
        sweep_runs(world.deployment, client)
        told = {call[0] for call in (client.started if starts else client.woken)}
        assert told == {done.id}, (situation, action)
        assert go_on(world, done).state is ALLOWED[situation][action]
