"""When nobody decides in time: reminders, escalation, and exactly one outcome."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from commands.deciding import pass_deadlines
from kernel.errors import Conflict
from tests.support.approvals import (
    CARLA,
    CONTROLLERS,
    DIRECTORS,
    FRED,
    RULE,
    asked,
    asking,
    go_on,
    say,
    skip,
    states,
    suspended,
)
from tests.support.world import Unstarted, World
from workflows.states import RunState


def told(world: World) -> list[tuple[str, int]]:
    return world.sql("SELECT kind, level FROM sluice.notification ORDER BY id")


@pytest.mark.parametrize("swept", [True, False], ids=["by the sweep", "by the run's timer"])
@pytest.mark.parametrize(
    ("on_timeout", "code"), [("reject", "approval_rejected"), ("fail", "approval_expired")]
)
def test_nobody_decides(world: World, on_timeout: str, code: str, swept: bool) -> None:
    run = suspended(
        world, asking(RULE.replace("due: 48h", f"due: 48h, remind: 2m, on_timeout: {on_timeout}"))
    )
    skip(world, hours=47, minutes=59)
    assert pass_deadlines(world.deployment, Unstarted()) == 1, "reminded"
    assert go_on(world, run).state is RunState.SUSPENDED
    skip(world, minutes=1)
    client = Unstarted()
    if swept:
        assert pass_deadlines(world.deployment, client) == 1
        assert client.decisions == [(run.id, 0, asked(world, run)[0].id)]
    run = go_on(world, run)
    assert run.state is RunState.FAILED
    assert run.failure is not None
    assert run.failure["code"] == code
    assert states(asked(world, run)) == ["EXPIRED"]
    assert world.ledger() == []
    assert pass_deadlines(world.deployment, Unstarted()) == 0


def test_a_decision_after_the_deadline_is_refused_though_no_timer_came(world: World) -> None:
    run = suspended(world)
    (request,) = asked(world, run)
    skip(world, hours=48)
    with pytest.raises(Conflict, match="time to decide is over"):
        say(world, request.id, CARLA)
    (row,) = asked(world, run)
    assert row.state == "EXPIRED"
    assert row.outcome is not None
    assert (row.outcome["by"], [one["decision"] for one in row.outcome["late"]]) == ("deadline", ["approve"])
    query = "SELECT action, details ->> 'decision' FROM sluice.audit_event WHERE subject = %s ORDER BY id"
    assert world.sql(query, [str(request.id)])[-2:] == [
        ("approval.decision_refused", "approve"), ("approval.expired", None),
    ][::-1]  # fmt: skip
    assert go_on(world, run).state is RunState.FAILED


def test_the_timer_and_a_person_at_the_same_instant(world: World) -> None:
    for attempt in range(4):
        run = suspended(world, asking(RULE.replace("48h", f"{attempt + 1}h")))
        (request,) = asked(world, run)
        skip(world, hours=attempt + 1, seconds=-0.05)

        def person(approval_id=request.id) -> str:  # type: ignore[no-untyped-def]
            try:
                return say(world, approval_id, CARLA).approval.state
            except Conflict:
                return "REFUSED"

        def timer() -> int:
            skip(world, seconds=0.05)
            return pass_deadlines(world.deployment, Unstarted())

        with ThreadPoolExecutor(2) as pool:
            said, passed = pool.submit(person), pool.submit(timer)
        (row,) = asked(world, run)
        outcome = row.outcome or {}
        assert (said.result(), row.state.value) in [("APPROVED", "APPROVED"), ("REFUSED", "EXPIRED")]
        assert outcome["due_at"]
        assert row.state.value == "APPROVED" or outcome["late"][0]["actor"] == CARLA.id
        assert row.state.value == "EXPIRED" or (outcome["decided_at"] and passed.result() == 0)
        ended = world.sql(
            "SELECT count(*) FROM sluice.state_transition WHERE entity_id = %s AND before IS NOT NULL",
            [str(row.id)],
        )
        assert ended == [(1,)]
        assert go_on(world, run).state in (RunState.SUCCEEDED, RunState.FAILED)


@pytest.mark.parametrize(("remind", "hours"), [(", remind: 4h", 44), ("", 40)])
def test_a_reminder_comes_once_before_the_deadline(world: World, remind: str, hours: int) -> None:
    run = suspended(world, asking(RULE.replace("due: 48h", f"due: 48h{remind}")))
    skip(world, hours=hours, minutes=-1)
    assert pass_deadlines(world.deployment, Unstarted()) == 0
    skip(world, minutes=1)
    assert pass_deadlines(world.deployment, Unstarted()) == 1
    assert pass_deadlines(world.deployment, Unstarted()) == 0
    assert told(world) == [("asked", 0), ("reminder", 0)]
    (row,) = asked(world, run)
    assert row.reminded_at is not None
    assert row.next_at == row.due_at
    say(world, row.id, CARLA)
    assert go_on(world, run).state is RunState.SUCCEEDED


def test_escalation_asks_others_too_and_ends_at_last(world: World) -> None:
    more = f"due: 48h, on_timeout: escalate, escalate: [{{to: [{DIRECTORS}], due: 2h}}]"
    run = suspended(world, asking(RULE.replace("due: 48h", more)))
    skip(world, hours=48)
    assert pass_deadlines(world.deployment, Unstarted()) == 1
    (row,) = asked(world, run)
    assert (row.state, row.level, row.approvers) == ("REQUESTED", 1, [CONTROLLERS, DIRECTORS])
    assert told(world) == [("asked", 0), ("escalated", 1)]
    assert go_on(world, run).state is RunState.SUSPENDED
    say(world, row.id, FRED)
    assert go_on(world, run).state is RunState.SUCCEEDED


def test_after_the_last_escalation_it_counts_as_rejected(world: World) -> None:
    more = f"due: 48h, on_timeout: escalate, escalate: [{{to: [{DIRECTORS}], due: 2h}}]"
    run = suspended(world, asking(RULE.replace("due: 48h", more)))
    for hours in (48, 2):
        skip(world, hours=hours)
        go_on(world, run)
    run = world.run(run.id)
    assert run.state is RunState.FAILED
    assert run.failure is not None
    assert run.failure["code"] == "approval_rejected"
