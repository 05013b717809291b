"""What a forecast says is what then happens, counted in the ledger of the ERP itself."""

from dataclasses import replace

import psycopg
import pytest

from activities.finishing import fail_run
from adapters.contract import Idempotency
from commands.forecasting import forecast
from commands.foreseen import Counts, Forecast
from kernel.errors import InternalError, InvalidData
from store.runs import RunRow
from tests.integration.runs.test_exactly_once import Killed
from tests.integration.runs.test_repeats import hooked, raising
from tests.integration.runs.test_segments import LOG, definition
from tests.support.operators import act, at, begun, counts, foreseen, go_on, log, plain, settled
from tests.support.world import SteppingClock, World, one_segment
from workflows.actions import Action
from workflows.states import RunState, TaskState

REFUSED = InvalidData("The ledger is closed.")
LINES = 5


def failed_after(world: World, batches: int, lines: int = LINES) -> RunRow:
    """A run that FAILED after so many batches of one line."""
    run = begun(world, lines)
    run = go_on(world, run, hooked(world, batch_size=1, before_push=raising(*[None] * batches, REFUSED)))
    assert run.state is RunState.FAILED
    return run


def stopped_after(world: World, batches: int, action: Action, lines: int = LINES) -> RunRow:
    """A run that was paused or cancelled while its batch of that number was on its way."""
    run = begun(world, lines)
    go_on(world, run, hooked(world, batch_size=1, after_push=at(batches, lambda: act(world, run, action))))
    return world.run(run.id)


def left_in_doubt(world: World, idempotency: Idempotency) -> RunRow:
    """A FAILED run with one line posted, one in doubt that was written, one that was not, and two to go."""
    run = begun(world, LINES)
    with pytest.raises(Killed):
        one_segment(
            hooked(world, batch_size=1, idempotency=idempotency, after_push=raising(None, Killed())), run.id
        )
    world.sql(  # a second worker marked another line, and died before the call left; all of that long ago
        "UPDATE sluice.posting SET state = 'SENT', sent_at = now() - interval '1 day' WHERE state = 'SENT' OR"
        " id = (SELECT id FROM sluice.posting WHERE state = 'INTENDED' ORDER BY idempotency_key LIMIT 1)"
        " RETURNING id"
    )
    fail_run(world.services, world.run(run.id), "post", InternalError("stopped"), 0)
    return world.run(run.id)


def summary(found: Forecast) -> str:
    """What people read of it, without how it begins."""
    return found.summary.partition(": ")[2]


@pytest.mark.parametrize("batches", [0, 2, 4])
def test_retry_after_a_failure_amid_a_write_posts_the_rest(world: World, batches: int) -> None:
    run = failed_after(world, batches)
    found = foreseen(world, run, Action.RETRY)
    assert counts(found) == Counts(posts=LINES - batches, skips_confirmed=batches)
    before = len(world.ledger())
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert (run.state, run.execution) == (RunState.SUCCEEDED, 1)
    assert len(world.ledger()) - before == LINES - batches
    assert settled(world, run) == {"posted": LINES}


def test_a_forecast_of_a_retry_is_one_sentence_and_says_what_each_step_does(world: World) -> None:
    found = foreseen(world, failed_after(world, 2), Action.RETRY)
    assert found.summary == "The run begins again at its first step: posts 3, skips 2 confirmed."
    assert [(step.step, step.will) for step in found.steps] == [
        ("log", "repeats"), ("lines", "repeats"), ("any", "stands"), ("post", "goes_on"),
    ]  # fmt: skip


def test_what_was_rejected_is_tried_again_by_a_retry(world: World) -> None:
    run = begun(world, LINES)
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger ADD CONSTRAINT closed CHECK (case_id NOT IN ('0001', '0003'))")
    run = go_on(world, run, hooked(world, batch_size=1))
    assert (run.state, settled(world, run)) == (RunState.FAILED, {"posted": 3, "rejected": 2})
    found = foreseen(world, run, Action.RETRY)
    assert counts(found) == Counts(posts_again=2, skips_confirmed=3)
    assert summary(found) == "posts 2 again that were rejected, skips 3 confirmed."
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger DROP CONSTRAINT closed")
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert (run.state, settled(world, run)) == (RunState.SUCCEEDED, {"posted": LINES})
    assert len(world.ledger()) == LINES


def test_rejects_of_a_completed_write_stay_rejected(world: World) -> None:
    world.publish(definition())
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger ADD CONSTRAINT closed CHECK (case_id <> '2')")
    run = world.start("two-writes", file=world.upload(LOG))
    one_segment(world.services, run.id)
    run = go_on(world, run, hooked(world, before_push=raising(REFUSED)))
    assert run.state is RunState.FAILED
    found = foreseen(world, run, Action.RETRY)
    first, second = counts(found, "post_first"), counts(found, "post_second")
    assert (first, second) == (Counts(skips_confirmed=2), Counts(posts=3))
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger DROP CONSTRAINT closed")
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert run.state is RunState.SUCCEEDED, run.failure
    assert len(world.ledger()) == 5
    states = dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1"))
    assert states == {"CONFIRMED": 5, "REJECTED": 1}


@pytest.mark.parametrize(
    ("idempotency", "expected", "words", "written", "state"),
    [
        (Idempotency.LOOKUP, Counts(posts=2, skips_confirmed=1, looks_up=2), "looks up 2", 5, "SUCCEEDED"),
        (Idempotency.NATIVE, Counts(posts=2, skips_confirmed=1, sends_again=2), "sends 2", 5, "SUCCEEDED"),
        (Idempotency.NONE, Counts(posts=2, skips_confirmed=1, holds=2), "holds 2", 4, "FAILED"),
    ],
)
@pytest.mark.parametrize("action", [Action.RETRY, Action.REPLAY])
def test_what_is_in_doubt_is_treated_as_its_operation_declares(
    world: World, action: Action, idempotency: Idempotency, expected: Counts, words: str, written: int,
    state: str,
) -> None:  # fmt: skip
    run = left_in_doubt(world, idempotency)
    assert len(world.ledger()) == 2
    found = foreseen(world, run, action, idempotency)
    assert counts(found) == expected
    assert words in found.summary
    after = act(world, run, action).run
    after = go_on(world, after, hooked(world, batch_size=1, idempotency=idempotency))
    assert (len(world.ledger()), after.state) == (written, state), after.failure
    held = settled(world, after).get("held", 0)
    assert held == expected.holds


def test_cancelling_a_paused_run_holds_what_was_not_posted(world: World) -> None:
    run = stopped_after(world, 2, Action.PAUSE)
    assert run.state is RunState.SUSPENDED
    found = foreseen(world, run, Action.CANCEL)
    assert (counts(found), summary(found)) == (Counts(holds=3), "holds 3.")
    act(world, run, Action.CANCEL)
    run = go_on(world, run)
    assert (run.state, settled(world, run)) == (RunState.CANCELLED, {"posted": 2, "held": 3})
    assert len(world.ledger()) == 2
    assert world.tasks(run.id)["post"].state is TaskState.CANCELLED


def test_resuming_amid_a_write_posts_the_rest(world: World) -> None:
    run = stopped_after(world, 2, Action.PAUSE)
    found = foreseen(world, run, Action.RESUME)
    assert counts(found) == Counts(posts=3, skips_confirmed=2)
    act(world, run, Action.RESUME)
    run = go_on(world, run)
    assert (run.state, settled(world, run)) == (RunState.SUCCEEDED, {"posted": LINES})
    assert len(world.ledger()) == LINES
    assert world.tasks(run.id)["post"].attempt == 1


def test_a_call_that_a_dead_worker_left_unanswered_is_looked_up_on_resume(world: World) -> None:
    run, dying = begun(world, LINES), raising(None, Killed())
    lookup = hooked(world, batch_size=1, idempotency=Idempotency.LOOKUP, after_push=dying)
    with pytest.raises(Killed):
        one_segment(lookup, run.id)
    act(world, run, Action.PAUSE)
    withdrawn = foreseen(world, run, Action.RESUME, Idempotency.LOOKUP)
    assert counts(withdrawn) == Counts(posts=3, skips_confirmed=1, in_flight=1)
    assert go_on(world, run, lookup).state is RunState.SUSPENDED
    assert counts(foreseen(world, run, Action.CANCEL, Idempotency.LOOKUP)) == Counts(holds=4)
    found = foreseen(world, run, Action.RESUME, Idempotency.LOOKUP)
    assert counts(found) == Counts(posts=3, skips_confirmed=1, looks_up=1)
    act(world, run, Action.RESUME)
    assert go_on(world, run, lookup).state is RunState.SUCCEEDED
    assert len(world.ledger()) == LINES


@pytest.mark.parametrize(
    ("action", "expected", "outcome"),
    [
        (Action.CANCEL, Counts(in_flight=1, holds=2), {"posted": 3, "held": 2}),
        (Action.PAUSE, Counts(in_flight=1, waits=2), {"posted": 3, "waiting": 2}),
    ],
)
def test_stopping_a_run_finishes_the_batch_in_flight(
    world: World, action: Action, expected: Counts, outcome: dict[str, int]
) -> None:
    run, found = begun(world, LINES), list[Forecast]()

    def ask() -> None:
        found.append(foreseen(world, run, action))
        act(world, run, action)

    go_on(world, run, hooked(world, batch_size=1, before_push=at(3, ask)))
    assert counts(found[0]) == expected
    assert settled(world, run) == outcome
    assert len(world.ledger()) == 3


def test_replay_of_a_run_that_succeeded_posts_nothing(world: World) -> None:
    run = go_on(world, begun(world, LINES))
    found = foreseen(world, run, Action.REPLAY)
    assert (counts(found), summary(found)) == (Counts(skips_confirmed=LINES), f"skips {LINES} confirmed.")
    again = go_on(world, act(world, run, Action.REPLAY).run)
    assert (again.state, again.replay_of) == (RunState.SUCCEEDED, run.id)
    assert settled(world, again) == {"already_posted": LINES}
    assert len(world.ledger()) == LINES
    once_more = foreseen(world, again, Action.REPLAY)
    assert counts(once_more) == Counts(skips_confirmed=LINES)


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_replay_of_a_run_that_stopped_amid_its_write_posts_the_rest(world: World, how: str) -> None:
    run = failed_after(world, 2) if how == "failed" else stopped_after(world, 2, Action.CANCEL)
    assert run.state == how.upper()
    found = foreseen(world, run, Action.REPLAY)
    assert counts(found) == Counts(posts=3, skips_confirmed=2)
    again = go_on(world, act(world, run, Action.REPLAY).run)
    assert (again.state, settled(world, again)) == (RunState.SUCCEEDED, {"posted": 3, "already_posted": 2})
    assert len(world.ledger()) == LINES
    rest = foreseen(world, run, Action.REPLAY)
    (post,) = (step for step in rest.steps if step.step == "post")
    assert (post.counts, post.known) == (Counts(skips_confirmed=2, elsewhere=3), False)


def test_replay_tries_rejects_again(world: World) -> None:
    world.publish(plain("dead_letter"))
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger ADD CONSTRAINT closed CHECK (case_id <> '0001')")
    run = world.finish(world.start("plain", file=world.upload(log(LINES))))
    assert (run.state, settled(world, run)) == (RunState.SUCCEEDED, {"posted": 4, "rejected": 1})
    found = foreseen(world, run, Action.REPLAY)
    assert counts(found) == Counts(posts_again=1, skips_confirmed=4)
    again = go_on(world, act(world, run, Action.REPLAY).run)
    assert settled(world, again) == {"already_posted": 4, "rejected": 1}


def test_records_that_other_runs_have_posted_are_skipped(world: World) -> None:
    world.publish(plain())
    world.finish(world.start("plain", file=world.upload(log(2))))
    run = world.start("plain", file=world.upload(log(LINES)))
    run = go_on(world, run, hooked(world, batch_size=1, before_push=raising(None, REFUSED)))
    assert run.state is RunState.FAILED
    found = foreseen(world, run, Action.RETRY)
    assert counts(found) == Counts(posts=2, skips_confirmed=3)
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert settled(world, run) == {"posted": 3, "already_posted": 2}
    assert len(world.ledger()) == LINES


def test_a_write_that_never_began_is_said_to_be_unknown(world: World) -> None:
    run = begun(world, LINES)
    run = go_on(world, run, hooked(world, before_fetch=raising(REFUSED)))
    assert run.state is RunState.FAILED
    found = foreseen(world, run, Action.RETRY)
    assert [(step.step, step.known) for step in found.steps if not step.known] == [("post", False)]
    assert "reads again, then posts whatever is not posted yet" in found.summary


def test_a_run_that_a_gate_ended_is_retried_without_its_write(world: World) -> None:
    world.publish(plain())
    run = world.finish(world.start("plain", file=world.upload([])))
    assert world.tasks(run.id)["post"].state is TaskState.SKIPPED
    found = foreseen(world, run, Action.REPLAY)
    assert [step.known for step in found.steps] == [True, True, True, False]


def test_a_paused_run_past_its_timeout_is_said_to_fail(world: World) -> None:
    run = begun(world, LINES, more="timeout: 1h")
    go_on(world, run, hooked(world, batch_size=1, after_push=at(2, lambda: act(world, run, Action.PAUSE))))
    clock = world.deployment.clock
    assert isinstance(clock, SteppingClock)
    deadline = world.run(run.id).deadline_at
    assert deadline is not None
    clock.skip(deadline - clock())
    found = foreseen(world, run, Action.RESUME)
    assert (found.summary, counts(found)) == (
        "The run is past its timeout and ends FAILED: holds 3.", Counts(holds=3),
    )  # fmt: skip
    act(world, run, Action.RESUME)
    run = go_on(world, run)
    assert (run.state, settled(world, run)) == (RunState.FAILED, {"posted": 2, "held": 3})


def test_what_is_not_allowed_is_said_with_its_reason(world: World) -> None:
    run = begun(world, 1)
    found = foreseen(world, run, Action.RETRY)
    assert (found.allowed, found.steps) == (False, ())
    assert "PENDING" in (found.why_not or "")
    nothing = foreseen(world, run, Action.RESUME)
    assert (nothing.allowed, nothing.summary) == (True, "Nothing changes: the run is PENDING already.")


def test_a_connector_that_no_longer_fits_holds_what_is_in_doubt(world: World) -> None:
    run = left_in_doubt(world, Idempotency.NATIVE)
    bare = replace(world.deployment, describe=lambda *_given: {})
    assert counts(forecast(bare, Action.RETRY, run.id)).holds == 2
