"""A run that asks people waits for them, goes on with exactly what they saw, and hears whatever they say."""

import pytest

from store.blobs import CONTEXT
from tests.support.approvals import (
    CARLA,
    CONRAD,
    CONTROLLERS,
    RULE,
    asked,
    asking,
    go_on,
    say,
    states,
    suspended,
)
from tests.support.operators import log
from tests.support.world import World
from workflows.states import RunState, TaskState


def test_below_the_limit_nobody_is_asked(world: World) -> None:
    world.publish(asking())
    run = world.finish(world.start("asking", file=world.upload(log(1))))
    assert run.state is RunState.SUCCEEDED
    assert asked(world, run) == []
    assert len(world.ledger()) == 1


def test_above_the_limit_the_run_waits_and_posts_when_somebody_agrees(world: World) -> None:
    run = suspended(world)
    assert (run.state, run.waits_for, run.held_step) == (RunState.SUSPENDED, "approval", "limits")
    tasks = world.tasks(run.id)
    assert (tasks["limits"].state, tasks["post"].state) == (TaskState.SUSPENDED, TaskState.PENDING)
    (request,) = asked(world, run)
    assert (request.state, request.because) == ("REQUESTED", "Total 3.75 is above 2")
    assert request.approvers == [CONTROLLERS]
    assert request.facts == {"total": "3.75"}
    assert request.summary["amount"] == "3.75"
    assert [write["records"] for write in request.summary["writes"]] == [3]
    assert world.ledger() == []
    decided = say(world, request.id, CARLA)
    assert decided.approval.state == "APPROVED"
    assert world.run(run.id).state is RunState.RUNNING
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert len(world.ledger()) == 3
    assert world.tasks(run.id)["limits"].attempt == 1
    (request,) = asked(world, run)
    assert request.told_at is not None
    assert [name for name in world.services.blobs.names(CONTEXT) if name.startswith(str(run.id))] == []


def test_what_was_read_is_not_read_again(world: World) -> None:
    run = suspended(world)
    started = world.tasks(run.id)["log"].started_at
    say(world, asked(world, run)[0].id, CARLA)
    go_on(world, run)
    assert world.tasks(run.id)["log"].started_at == started


def test_a_rejection_fails_the_run_and_posts_nothing(world: World) -> None:
    run = suspended(world)
    say(world, asked(world, run)[0].id, CARLA, "reject", "Wrong week")
    run = go_on(world, run)
    assert run.state is RunState.FAILED
    assert run.failure is not None
    assert (run.failure["code"], run.failure["message"]) == ("approval_rejected", "Rejected: Wrong week")
    assert world.ledger() == []


def test_every_rule_that_holds_asks_and_all_have_to_be_approved(world: World) -> None:
    other = RULE.replace("total > 2", "total > 3").replace("is above 2", "is above 3")
    run = suspended(world, asking(RULE, other))
    first, second = asked(world, run)
    say(world, first.id, CARLA)
    assert go_on(world, run).state is RunState.SUSPENDED
    assert states(asked(world, run)) == ["APPROVED", "REQUESTED"]
    say(world, second.id, CONRAD)
    assert go_on(world, run).state is RunState.SUCCEEDED


def test_a_denial_counts_more_than_a_question(world: World) -> None:
    run = suspended(world, asking(RULE, "{deny: total > 3, because: Far too much}"))
    assert run.state is RunState.FAILED
    assert asked(world, run) == []


@pytest.mark.parametrize("times", [2, 3])
def test_asking_twice_asks_once(world: World, times: int) -> None:
    run = suspended(world)
    for _ in range(times):
        assert go_on(world, run).state is RunState.SUSPENDED
    assert len(asked(world, run)) == 1
