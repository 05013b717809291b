"""Operators and runs that wait for people: pause, resume, cancel, recovery, the run's own time limit."""

from datetime import timedelta

import pytest

from commands.forecasting import forecast
from commands.foreseen import ApprovalCounts
from commands.orchestrations import Liveness
from commands.recovery import SUSPENDED_QUIET, sweep_runs
from kernel.errors import Conflict
from tests.integration.approvals.test_changes import failed_after_approval, replace_file
from tests.support.approvals import CARLA, asked, asking, go_on, say, skip, states, suspended
from tests.support.operators import act
from tests.support.world import Unstarted, World
from workflows.actions import Action
from workflows.states import RunState


def test_a_run_that_waits_can_be_paused_and_then_a_decision_does_not_start_it(world: World) -> None:
    run = suspended(world)
    act(world, run, Action.PAUSE)
    assert world.run(run.id).waits_for is None
    say(world, asked(world, run)[0].id, CARLA)
    assert world.run(run.id).state is RunState.SUSPENDED
    assert go_on(world, run).state is RunState.SUSPENDED
    assert world.ledger() == []
    act(world, run, Action.RESUME)
    assert go_on(world, run).state is RunState.SUCCEEDED


def test_to_resume_a_run_that_waits_does_not_let_it_through(world: World) -> None:
    run = suspended(world)
    with pytest.raises(Conflict, match="waits for approval"):
        act(world, run, Action.RESUME)
    assert go_on(world, run).state is RunState.SUSPENDED
    assert world.run(run.id).waits_for == "approval"
    assert states(asked(world, run)) == ["REQUESTED"]
    assert world.ledger() == []


def test_a_lost_orchestration_of_a_run_that_waits_is_recovered_and_waits_on(world: World) -> None:
    run = suspended(world)
    skip(world, seconds=(SUSPENDED_QUIET + timedelta(minutes=1)).total_seconds())
    client = Unstarted()
    client.alive[run.id, 0] = Liveness.MISSING
    assert sweep_runs(world.deployment, client).recovered == 1
    assert go_on(world, run).state is RunState.SUSPENDED
    assert states(asked(world, run)) == ["REQUESTED"]
    say(world, asked(world, run)[0].id, CARLA)
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert len(world.ledger()) == 3


def test_an_event_that_got_lost_is_made_up_for(world: World) -> None:
    run = suspended(world)
    say(world, asked(world, run)[0].id, CARLA)
    skip(world, minutes=2)
    client = Unstarted()
    assert sweep_runs(world.deployment, client).woken == 1
    assert client.woken == [(run.id, 0)]


def test_the_runs_own_time_limit_ends_the_waiting(world: World) -> None:
    run = suspended(world, asking().replace("workflow: asking\n", "workflow: asking\ntimeout: 1h\n"))
    skip(world, hours=2)
    client = Unstarted()
    sweep_runs(world.deployment, client)
    assert (run.id, 0) in client.woken
    run = go_on(world, run)
    assert run.state is RunState.FAILED
    assert run.failure is not None
    assert run.failure["code"] == "timed_out"
    assert states(asked(world, run)) == ["CANCELLED"]


@pytest.mark.parametrize(("lines", "renewed"), [(3, 0), (4, 1)])
def test_the_forecast_of_a_retry_is_what_the_retry_asks(world: World, lines: int, renewed: int) -> None:
    run = failed_after_approval(world)
    replace_file(world, run, lines)
    seen = forecast(world.deployment, Action.RETRY, run.id)
    assert seen.approvals.renews == 1
    assert "asks for 1 approval again if the records have changed" in seen.summary
    act(world, run, Action.RETRY)
    go_on(world, run)
    assert len(asked(world, run)) == 1 + renewed


@pytest.mark.parametrize(
    ("action", "counts", "words"),
    [
        (Action.CANCEL, ApprovalCounts(ends=1), "1 open approval end"),
        (Action.PAUSE, ApprovalCounts(stays=1), "1 approval stay"),
    ],
)
def test_forecasts_of_a_run_that_waits(
    world: World, action: Action, counts: ApprovalCounts, words: str
) -> None:
    run = suspended(world)
    seen = forecast(world.deployment, action, run.id)
    assert (seen.approvals, words in seen.summary) == (counts, True)
    act(world, run, action)
    go_on(world, run)
    opened = states(asked(world, run)).count("REQUESTED")
    assert opened == counts.stays
