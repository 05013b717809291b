"""What was approved is what is posted: other records void the approval and ask again, with the difference."""

from dataclasses import replace
from typing import Any

from kernel.errors import InvalidData
from tests.integration.runs.test_repeats import hooked, raising
from tests.support.approvals import CARLA, CONRAD, FRED, asked, asking, go_on, say, states, suspended
from tests.support.operators import act, log
from tests.support.world import World, drive, work_log
from workflows.actions import Action
from workflows.states import RunState

REFUSED = InvalidData("The ledger is closed.")


def replace_file(world: World, run: Any, lines: int) -> None:
    """The source changes behind the run's back."""
    world.services.blobs.write("files", run.inputs["file"], work_log(log(lines)), overwrite=True)


def failed_after_approval(world: World) -> Any:
    """A run that was approved and whose write the ledger refused."""
    run = suspended(world)
    say(world, asked(world, run)[0].id, CARLA)
    drive(hooked(world, before_push=raising(REFUSED)), run.id)
    run = world.run(run.id)
    assert run.state is RunState.FAILED
    return run


def test_a_retry_with_the_same_records_is_approved_already(world: World) -> None:
    run = failed_after_approval(world)
    act(world, run, Action.RETRY)
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert states(asked(world, run)) == ["APPROVED"]
    assert len(world.ledger()) == 3


def test_a_retry_with_other_records_asks_again_and_shows_the_difference(world: World) -> None:
    run = failed_after_approval(world)
    replace_file(world, run, 4)
    act(world, run, Action.RETRY)
    assert go_on(world, run).state is RunState.SUSPENDED
    first, second = asked(world, run)
    assert states([first, second]) == ["CANCELLED", "REQUESTED"]
    assert (first.outcome or {})["because"] == "The records have changed."
    assert second.replaces == first.id
    assert second.changes is not None
    (change,) = second.changes["writes"]
    assert change["records"] == {"before": 3, "after": 4}
    assert change["measures"]["amount"] == {"before": "3.75", "after": "5.00"}
    assert world.ledger() == []
    say(world, second.id, CONRAD)
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert len(world.ledger()) == 4


def test_a_rejected_run_that_is_retried_asks_again(world: World) -> None:
    run = suspended(world)
    say(world, asked(world, run)[0].id, CARLA, "reject")
    run = go_on(world, run)
    act(world, run, Action.RETRY)
    assert go_on(world, run).state is RunState.SUSPENDED
    assert states(asked(world, run)) == ["REJECTED", "REQUESTED"]
    say(world, asked(world, run)[1].id, CONRAD)
    assert go_on(world, run).state is RunState.SUCCEEDED


def test_a_rejection_is_heard_though_the_execution_was_lost(world: World) -> None:
    """The orchestration disappears between decision and run: its next execution must not ask again."""
    run = suspended(world)
    say(world, asked(world, run)[0].id, CARLA, "reject")
    world.sql("UPDATE sluice.workflow_run SET execution = 1 WHERE id = %s RETURNING 1", [str(run.id)])
    assert go_on(world, run).state is RunState.FAILED
    assert states(asked(world, run)) == ["REJECTED"]


def test_a_write_that_would_send_other_records_refuses_and_asks_again(world: World) -> None:
    """Between the decision and the write, what was kept is exchanged: the write finds out by the digest."""
    run = suspended(world)
    (request,) = asked(world, run)
    say(world, request.id, CARLA)
    contexts = world.services.contexts
    row = world.run(run.id)
    held = contexts.load_held(world.deployment.database, row)
    records = held["lines"].records
    assert records is not None
    held["lines"] = replace(held["lines"], records=replace(records, rows=records.rows[:2]))
    contexts.hold(world.deployment.database, row, "limits", held, "sluice")
    assert go_on(world, run).state is RunState.SUSPENDED
    assert world.ledger() == []
    first, second = asked(world, run)
    assert states([first, second]) == ["CANCELLED", "REQUESTED"]
    (change,) = (second.changes or {})["writes"]
    assert change["removed"]["count"] == 1
    assert change["removed"]["first"][0]["case_id"] == "0002"
    assert (change["added"]["count"], change["altered"]["count"]) == (0, 0)


def test_the_write_itself_looks_again(world: World) -> None:
    """Even when the policy step has let something through: the write compares before it sends."""
    run = suspended(world)
    (request,) = asked(world, run)
    say(world, request.id, CARLA)
    world.sql("UPDATE sluice.workflow_run SET held_step = 'post' WHERE id = %s RETURNING 1", [str(run.id)])
    row = world.run(run.id)
    held = world.services.contexts.load_held(world.deployment.database, replace(row, held_step="limits"))
    records = held["lines"].records
    assert records is not None
    held["lines"] = replace(
        held["lines"],
        records=replace(records, rows=[{**records.rows[0], "case_id": "other"}, *records.rows[1:]]),
    )
    world.services.contexts.hold(world.deployment.database, row, "post", held, "sluice")
    assert go_on(world, run).state is RunState.SUSPENDED
    assert world.run(run.id).held_step == "post"
    assert world.ledger() == []
    assert states(asked(world, run)) == ["CANCELLED", "REQUESTED"]
    say(world, asked(world, run)[1].id, CONRAD)
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert len(world.ledger()) == 3


def test_when_the_rule_holds_no_longer_the_request_is_withdrawn(world: World) -> None:
    run = failed_after_approval(world)
    replace_file(world, run, 1)
    act(world, run, Action.RETRY)
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert states(asked(world, run)) == ["CANCELLED"]
    assert len(world.ledger()) == 1


def test_two_questions_in_one_run(world: World) -> None:
    other = """
  - key: again
    govern:
      facts: SELECT count(*) AS lines FROM lines
      rules: [{approve: lines > 2, by: [finance-directors], because: Many lines}]
"""
    run = suspended(world, asking(between=other))
    say(world, asked(world, run)[0].id, CARLA)
    assert go_on(world, run).state is RunState.SUSPENDED
    assert world.run(run.id).held_step == "again"
    say(world, asked(world, run)[1].id, FRED)
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert states(asked(world, run)) == ["APPROVED", "APPROVED"]


def test_one_approval_covers_several_writes_of_different_records(world: World) -> None:
    """The later write no longer has the records of the first: it compares what it sends itself."""
    first = """
  - key: first
    push:
      {connector: erp, operation: job_ledger, records: more, key: [case_id, activity, work_date, worker]}
"""
    more = """  - key: more
    transform:
      sql: |
        SELECT case_id || '-x' AS case_id, activity, worker, work_date, worked_seconds, amount
        FROM lines ORDER BY case_id
  - key: limits
"""
    run = suspended(world, asking(between=first).replace("  - key: limits\n", more))
    (request,) = asked(world, run)
    assert [write["step"] for write in request.summary["writes"]] == ["first", "post"]
    say(world, request.id, CARLA)
    assert go_on(world, run).state is RunState.SUCCEEDED
    assert states(asked(world, run)) == ["APPROVED"]
    assert len(world.ledger()) == 6
