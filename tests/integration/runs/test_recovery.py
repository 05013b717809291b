"""Runs whose orchestration is lost, silent, asleep or never began, and what ended runs leave behind."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from uuid import UUID

import pytest

from activities.contract import Next, SegmentInput
from activities.run_segment import run_segment
from commands.deployment import RecoveryPolicy
from commands.orchestrations import Liveness
from commands.purging import sweep_leftovers
from commands.recovery import PENDING_GRACE, QUIET, SUSPENDED_QUIET, WAKE_GRACE, recover_lost_runs, sweep_runs
from kernel.errors import Unavailable
from store import executions
from store.blobs import CONTEXT
from tests.integration.runs.test_exactly_once import Killed
from tests.integration.runs.test_repeats import DOWN, hooked, raising
from tests.integration.runs.test_segments import LOG, definition
from tests.support.world import (
    EXAMPLES,
    SMALL_LOG,
    SteppingClock,
    Unstarted,
    World,
    drive,
    one_segment,
    waits,
)
from workflows.states import RunState, TaskState

LONG = QUIET + timedelta(seconds=1)


def skip(world: World, time: timedelta) -> None:
    """Let time pass for the deployment."""
    clock = world.deployment.clock
    assert isinstance(clock, SteppingClock)
    clock.skip(time)


def actions(world: World, run_id: UUID) -> list[str]:
    """What the audit trail says of a run, oldest first."""
    rows = world.sql("SELECT action FROM sluice.audit_event WHERE subject = %s ORDER BY id", [str(run_id)])
    return [str(row[0]) for row in rows]


def dying(world: World, run_id: UUID, execution: int = 0, segment: int = 0, *, batches: int = 0) -> None:
    """An execution that dies while it posts, after some batches."""
    services = hooked(world, batch_size=1, before_push=raising(*[None] * batches, Killed()))
    with pytest.raises(Killed):
        one_segment(services, run_id, segment, execution)


@pytest.mark.parametrize("found", [Liveness.MISSING, Liveness.ENDED])
def test_a_lost_run_is_recovered_and_posts_each_line_once(world: World, found: Liveness) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    dying(world, run.id, batches=1)
    durable = Unstarted()
    durable.alive[run.id, 0] = found
    assert sweep_runs(world.deployment, durable).recovered == 0, "it may be busy"
    skip(world, LONG)
    assert sweep_runs(world.deployment, durable).recovered == 1
    assert durable.started == [(run.id, 1, 0)]
    assert drive(world.services, run.id, execution=1) == {"state": "SUCCEEDED"}
    assert (len(world.ledger()), actions(world, run.id)[-2:]) == (2, ["run.recovered", "run.succeeded"])


def test_a_recovered_run_goes_on_from_its_last_completed_segment(world: World) -> None:
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    assert one_segment(world.services, run.id).segment == 1
    skip(world, LONG)
    durable = Unstarted()
    durable.alive[run.id, 0] = Liveness.MISSING
    recover_lost_runs(world.deployment, durable)
    assert durable.started == [(run.id, 1, 1)]
    fetched = hooked(world, before_fetch=raising(AssertionError("the first segment was repeated")))
    assert drive(fetched, run.id, execution=1, segment=1) == {"state": "SUCCEEDED"}


def test_an_execution_that_was_overtaken_changes_nothing_more(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    durable = Unstarted()
    durable.alive[run.id, 0] = Liveness.MISSING

    def lose() -> None:
        skip(world, LONG)
        assert recover_lost_runs(world.deployment, durable) == (1, 0)

    zombie = hooked(world, batch_size=1, after_push=raising(None), before_push=lose)
    assert one_segment(zombie, run.id).next is Next.ENDED
    assert len(world.ledger()) == 1, "the line in flight; nothing after it"
    assert world.run(run.id).state is RunState.RUNNING
    assert one_segment(world.services, run.id).next is Next.ENDED, "the old execution is told to go"
    assert drive(world.services, run.id, execution=1) == {"state": "SUCCEEDED"}
    assert len(world.ledger()) == 2


def test_a_silent_execution_is_stopped_and_replaced(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    dying(world, run.id)
    durable = Unstarted()
    skip(world, LONG)
    assert recover_lost_runs(world.deployment, durable) == (0, 0), "durable execution says it goes on"
    skip(world, world.deployment.recovery.silent_after)
    assert recover_lost_runs(world.deployment, durable) == (1, 0)
    assert (durable.stopped, durable.started) == ([(run.id, 0)], [(run.id, 1, 0)])


def test_recoveries_without_progress_end_in_a_visible_failure(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    one_segment(hooked(world, before_push=raising(DOWN)), run.id)
    deployment = replace(world.deployment, recovery=RecoveryPolicy(max_recoveries=2))
    for execution in range(3):
        durable = Unstarted()
        durable.alive[run.id, execution] = Liveness.ENDED
        skip(world, timedelta(hours=1))
        found = recover_lost_runs(deployment, durable)
        assert found == ((1, 0) if execution < 2 else (0, 1))
    ended = world.run(run.id)
    assert (ended.state, (ended.failure or {})["code"]) == (RunState.FAILED, "lost")
    assert {task.state for task in world.tasks(run.id).values()} <= {
        TaskState.SUCCEEDED, TaskState.FAILED, TaskState.PENDING,
    }  # fmt: skip
    assert actions(world, run.id)[-1] == "run.failed"


def test_progress_makes_recoveries_count_anew(world: World) -> None:
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    durable = Unstarted()
    durable.alive[run.id, 0] = Liveness.MISSING
    dying(world, run.id)
    skip(world, LONG)
    recover_lost_runs(world.deployment, durable)
    assert world.run(run.id).recoveries == 1
    assert one_segment(world.services, run.id, 0, 1).next is Next.CONTINUE
    assert world.run(run.id).recoveries == 0


def test_many_sweeps_at_once_recover_a_run_once(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    dying(world, run.id)
    skip(world, LONG)
    durable = Unstarted()
    durable.alive[run.id, 0] = Liveness.MISSING
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: recover_lost_runs(world.deployment, durable), range(8)))
    assert (sum(one for one, _ in found), world.run(run.id).execution) == (1, 1)


def test_a_clock_that_jumps_ahead_recovers_healthy_runs_without_harm(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    durable = Unstarted()

    def jump() -> None:
        skip(world, timedelta(days=2))
        recover_lost_runs(world.deployment, durable)
        skip(world, -timedelta(days=2))

    one_segment(hooked(world, batch_size=1, before_push=jump), run.id)
    execution = world.run(run.id).execution
    assert execution == 1
    assert drive(world.services, run.id, execution=execution) == {"state": "SUCCEEDED"}
    assert len(world.ledger()) == 2


def test_a_clock_that_runs_back_does_not_stop_a_run(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    assert waits(one_segment(hooked(world, before_push=raising(DOWN)), run.id))
    skip(world, -timedelta(days=1))
    assert drive(world.services, run.id) == {"state": "SUCCEEDED"}


def test_a_segment_that_kills_its_worker_every_time_is_poison(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    deaths = world.services.max_recoveries + 1
    for _ in range(deaths):
        with pytest.raises(Killed):
            one_segment(hooked(world, before_fetch=raising(Killed())), run.id)
    assert one_segment(world.services, run.id).state == RunState.FAILED
    failure = world.run(run.id).failure or {}
    assert failure["code"] == "poison"
    assert f"died {deaths} times" in failure["message"]
    assert "work_log" in failure["message"]


def test_a_segment_that_dies_often_but_gets_on_is_no_poison(world: World) -> None:
    world.publish()
    rows = [(f"C{n}", *SMALL_LOG[0][1:]) for n in range(20)]
    run = world.start(file=world.upload(rows))
    for _ in range(19):
        dying(world, run.id, batches=1)
    assert drive(world.services, run.id) == {"state": "SUCCEEDED"}
    assert len(world.ledger()) == 20


def test_our_own_storage_being_away_does_not_poison_a_run(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    away = hooked(world, before_fetch=raising(*[Unavailable("Blob Storage does not answer.")] * 20))
    for _ in range(20):
        with pytest.raises(Unavailable):
            one_segment(away, run.id)
    assert drive(world.services, run.id) == {"state": "SUCCEEDED"}


def test_a_wait_that_is_over_is_ended_again_when_the_event_was_lost(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    outcome = one_segment(hooked(world, before_push=raising(DOWN)), run.id)
    durable = Unstarted()
    sweep_runs(world.deployment, durable)
    assert durable.woken == []
    skip(world, timedelta(seconds=outcome.wait_seconds) + WAKE_GRACE + timedelta(seconds=1))
    assert sweep_runs(world.deployment, durable).woken == 1
    assert (durable.woken, actions(world, run.id)[-1]) == ([(run.id, 0)], "run.woken_by_sweep")


def test_woken_too_early_it_waits_for_the_rest_of_the_time(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    first = one_segment(hooked(world, before_push=raising(DOWN)), run.id)
    skip(world, timedelta(seconds=1))
    again = run_segment(world.services, SegmentInput(str(run.id), 0))
    assert again.next is Next.RETRY
    assert 0 < again.wait_seconds <= first.wait_seconds - 1
    assert len(world.ledger()) == 0


def test_a_request_that_nobody_heard_wakes_the_run(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    one_segment(hooked(world, before_push=raising(DOWN)), run.id)
    world.sql("UPDATE sluice.workflow_run SET requested = 'cancel' WHERE id = %s RETURNING id", [run.id])
    durable = Unstarted()
    assert sweep_runs(world.deployment, durable).woken == 1
    assert drive(world.services, run.id) == {"state": "CANCELLED"}
    assert (len(world.ledger()), actions(world, run.id)[-1]) == (0, "run.cancelled")


def test_a_paused_run_is_looked_at_now_and_then_and_left_alone(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    pause = "UPDATE sluice.workflow_run SET requested = 'pause' WHERE id = %s RETURNING id"
    services = hooked(world, batch_size=1, after_push=lambda: world.sql(pause, [run.id]))
    assert one_segment(services, run.id).next is Next.SUSPENDED
    assert (world.run(run.id).state, world.tasks(run.id)["post"].state) == ("SUSPENDED", "SUSPENDED")
    durable = Unstarted()
    for _ in range(3):
        skip(world, SUSPENDED_QUIET + timedelta(minutes=1))
        assert recover_lost_runs(world.deployment, durable) == (0, 0)
    assert one_segment(world.services, run.id).next is Next.SUSPENDED, "nobody has resumed it"
    durable.alive[run.id, 0] = Liveness.MISSING
    skip(world, SUSPENDED_QUIET + timedelta(minutes=1))
    assert recover_lost_runs(world.deployment, durable) == (1, 0)
    assert drive(world.services, run.id, execution=1) == {"state": "SUSPENDED"}
    with world.deployment.database.transaction("tester") as connection:
        assert executions.rouse(connection, run.id, world.deployment.clock())
    assert drive(world.services, run.id, execution=1) == {"state": "SUCCEEDED"}
    assert len(world.ledger()) == 2
    assert world.tasks(run.id)["post"].attempt == 1, "a pause is no attempt that failed"


TIMED = {"run": "workflow: labour-costs\n", "step": "  - key: post\n"}


@pytest.mark.parametrize("what", TIMED)
def test_a_timeout_ends_what_waits_too_long(world: World, what: str) -> None:
    example = (EXAMPLES / "labour_costs.yaml").read_text()
    indent = "" if what == "run" else "    "
    world.publish(example.replace(TIMED[what], f"{TIMED[what]}{indent}timeout: 25s\n"))
    run = world.start(file=world.upload(SMALL_LOG))
    drive(hooked(world, before_push=raising(*[DOWN] * 20)), run.id)
    failure = world.run(run.id).failure or {}
    assert failure["code"] == "timed_out"
    assert "25s" in failure["message"]
    waited = [one["wait_seconds"] for one in world.tasks(run.id)["post"].attempts]
    assert 3 <= len(waited) <= 4, "2, 4 and 8 seconds fit, 16 do not"
    assert actions(world, run.id)[-1] == "run.failed"


def test_a_suspended_run_past_its_deadline_is_ended(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    sql = "UPDATE sluice.workflow_run SET requested = 'pause', deadline_at = %s WHERE id = %s RETURNING id"
    late = world.deployment.clock() + timedelta(minutes=5)
    hook = raising(None)
    services = hooked(world, batch_size=1, after_push=lambda: (world.sql(sql, [late, run.id]), hook())[1])
    assert one_segment(services, run.id).next is Next.SUSPENDED
    durable = Unstarted()
    assert sweep_runs(world.deployment, durable).woken == 0
    skip(world, timedelta(minutes=6))
    assert sweep_runs(world.deployment, durable).woken == 1
    assert drive(world.services, run.id) == {"state": "FAILED"}
    assert (world.run(run.id).failure or {})["code"] == "timed_out"


def test_attempts_say_when_what_and_for_how_long(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    drive(hooked(world, before_push=raising(DOWN, DOWN)), run.id)
    first, second = world.tasks(run.id)["post"].attempts
    assert (first["number"], second["number"], first["code"]) == (1, 2, "system_unavailable")
    assert 2 <= first["wait_seconds"] <= 2.2
    assert 4 <= second["wait_seconds"] <= 4.4
    assert world.tasks(run.id)["post"].attempt == 3


def test_pending_runs_start_and_every_sweep_is_counted(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    skip(world, 2 * PENDING_GRACE)
    durable = Unstarted()
    assert sweep_runs(world.deployment, durable).started == 1
    assert durable.started == [(run.id, 0, 0)]
    assert world.counted() == {("sweep.runs", "started"): 1}
    assert actions(world, run.id) == ["run.started", "run.started_by_sweep"]


def test_leftovers_go_in_small_windows(world: World) -> None:
    world.publish(definition())
    ended = world.start("two-writes", file=world.upload(LOG))
    going = world.start("two-writes", file=world.upload(LOG))
    world.finish(ended)
    assert one_segment(world.services, going.id).next is Next.CONTINUE
    world.services.blobs.write(CONTEXT, f"{ended.id}/0000/segment-0000", b"left by a worker that died")
    world.services.blobs.write(CONTEXT, "put/here/by someone else", b"not ours", overwrite=True)
    durable = Unstarted()
    assert sweep_leftovers(world.deployment, durable) == (1, 0)
    left = {name.partition("/")[0] for name in world.services.blobs.names(CONTEXT)}
    assert (str(ended.id) in left, str(going.id) in left) == (False, True)
    skip(world, world.deployment.recovery.history_kept + timedelta(hours=1))
    assert sweep_leftovers(world.deployment, durable) == (0, 1)
    assert durable.purged == [(ended.id, 0)]
    assert sweep_leftovers(world.deployment, durable) == (0, 0)
    assert drive(world.services, going.id, segment=1) == {"state": "SUCCEEDED"}


def test_the_wait_is_served_though_the_clock_ran_back_behind_it(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    first = one_segment(hooked(world, before_push=raising(DOWN)), run.id)
    skip(world, timedelta(seconds=first.wait_seconds) - timedelta(days=1))
    assert run_segment(world.services, SegmentInput(str(run.id), 0)).state == RunState.SUCCEEDED


def test_what_an_overtaken_execution_found_out_is_not_written_down(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    run = world.start(file=name)
    durable = Unstarted()
    durable.alive[run.id, 0] = Liveness.MISSING

    def lose() -> None:
        skip(world, LONG)
        recover_lost_runs(world.deployment, durable)
        raise KeyError("a fault of the old execution")

    assert one_segment(hooked(world, before_fetch=lose), run.id).next is Next.ENDED
    assert world.run(run.id).state is RunState.RUNNING, "the fault is not the new execution's"
    assert world.tasks(run.id)["work_log"].attempts == []
    assert drive(world.services, run.id, execution=1) == {"state": "SUCCEEDED"}


def test_of_two_deliveries_the_second_learns_that_the_run_is_paused(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    pause = "UPDATE sluice.workflow_run SET requested = 'pause' WHERE id = %s RETURNING id"

    def meanwhile() -> None:
        world.sql(pause, [run.id])
        assert one_segment(world.services, run.id).next is Next.SUSPENDED

    assert one_segment(hooked(world, before_fetch=meanwhile), run.id).next is Next.SUSPENDED
    assert world.run(run.id).state is RunState.SUSPENDED


def test_two_deliveries_that_fail_at_once_do_not_wait_for_each_other(world: World) -> None:
    world.publish()
    both = Barrier(2)
    for _ in range(5):
        run = world.start(file=world.upload(SMALL_LOG))

        def fail() -> None:
            both.wait(10)
            raise DOWN

        services = hooked(world, before_fetch=fail)
        given = SegmentInput(str(run.id), 0)
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda _, given=given: run_segment(services, given), range(2)))  # noqa: B023
        assert {outcome.next for outcome in outcomes} == {Next.RETRY}
