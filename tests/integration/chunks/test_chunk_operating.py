"""What operators do to runs with dispatches: what a forecast says of chunks and records then happens."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.contract import Idempotency
from commands.foreseen import ChunkCounts, Counts, Forecast, StepForecast
from kernel.errors import InDoubt
from store.runs import RunRow
from tests.integration.api.test_api import call
from tests.integration.chunks.desk import add_orders, definition, desk, set_up, states
from tests.integration.chunks.test_dispatch import TEN
from tests.integration.runs.test_operating import REFUSED, audited
from tests.integration.runs.test_repeats import hooked, raising
from tests.support.operators import act, at, foreseen, go_on
from tests.support.world import World
from workflows.actions import Action
from workflows.states import RunState

OWN = """
        - key: posted
          push: {connector: desk, operation: post, records: chunk, key: [number]}
"""
PRICED = """
        - key: priced
          transform: {sql: "SELECT number, amount FROM chunk"}
        - key: posted
          push: {connector: desk, operation: post, records: priced, key: [number]}
"""
GATED = """
        - key: wanted
          logic_gate: {when: "chunk.number != 'N000'", otherwise: end}
        - key: posted
          push: {connector: desk, operation: post, records: chunk, key: [number]}
"""


def refuse(world: World, numbers: Collection[str]) -> None:
    """The desk refuses orders of these numbers, and no others, from now on."""
    listed = ", ".join(f"'{number}'" for number in sorted(numbers)) or "''"
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE desk DROP CONSTRAINT IF EXISTS closed")
        erp.execute(
            f"ALTER TABLE desk ADD CONSTRAINT closed CHECK (number NOT IN ({listed})) NOT VALID".encode()
        )


def said(found: Forecast, step: str) -> StepForecast:
    """What a forecast says of a step."""
    assert found.allowed, found.why_not
    (one,) = (one for one in found.steps if one.step == step)
    return one


def chunks(found: Forecast) -> ChunkCounts:
    """What a forecast says of the chunks."""
    of = said(found, "each").chunks
    assert of is not None
    return of


def posted(found: Forecast) -> Counts:
    """What a forecast says of the records that chunks write; it must say that this is all."""
    assert said(found, "each").known, found.summary
    assert said(found, "posted").known, found.summary
    return said(found, "posted").counts


def attempts(world: World, run: RunRow) -> dict[int, int]:
    """How often each chunk was begun."""
    query = "SELECT number, attempt FROM sluice.chunk_run WHERE run_id = %s"
    return {number: attempt for number, attempt in world.sql(query, [run.id])}  # noqa: C416 - typed


def dispatched(world: World, steps: str = PRICED, options: str = "") -> RunRow:
    """A run over ten orders that nobody executes yet."""
    set_up(world, TEN)
    world.publish(definition(steps=steps, dispatch=options))
    return world.start("post-orders")


# Retry ------------------------------------------------------------------------------------------------


def test_a_retry_runs_what_failed_and_sends_what_was_refused(world: World) -> None:
    run = dispatched(world)
    refuse(world, ["N003", "N007"])
    run = go_on(world, run)
    assert states(world, run) == {"SUCCEEDED": 8, "FAILED": 2}
    found = foreseen(world, run, Action.RETRY)
    assert (chunks(found), posted(found)) == (
        ChunkCounts(runs=2, stands=8), Counts(posts_again=2, skips_confirmed=8),
    )  # fmt: skip
    assert found.summary == (
        "The run begins again at its first step: posts 2 again that were rejected, skips 8 confirmed, "
        "runs 2 chunks of 'each', 8 chunks of 'each' stand."
    )
    before = attempts(world, run)
    refuse(world, [])
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert run.state is RunState.SUCCEEDED, run.failure
    assert {number for number, times in attempts(world, run).items() if times > before[number]} == {3, 7}
    assert len(desk(world)) == 10


def test_the_first_step_of_a_chunk_counts_what_it_does_not_know(world: World) -> None:
    run = go_on(world, dispatched(world, OWN), hooked(world, before_fetch=raising(REFUSED)))
    assert run.state is RunState.FAILED
    found = foreseen(world, run, Action.RETRY)
    assert [step.known for step in found.steps] == [False, False]
    assert "reads its records again" in found.summary


STEPS = st.sampled_from([OWN, PRICED, GATED])
SOME = st.sets(st.sampled_from([number for number, _ in TEN]))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, batch=st.sampled_from([1, 4]), refused=SOME, later=SOME, stop=st.booleans())
def test_the_forecast_of_a_retry_is_what_the_retry_does(
    world: World, steps: str, batch: int, refused: set[str], later: set[str], stop: bool
) -> None:
    fresh_desk(world)
    policy = "      on_failure: stop\n      concurrency: 1\n" if stop else ""
    world.publish(definition(steps=steps, dispatch=f"{policy}      batch: {batch}"))
    refuse(world, refused)
    run = go_on(world, world.start("post-orders"))
    if run.state is RunState.SUCCEEDED:
        assert not foreseen(world, run, Action.RETRY).allowed
        return
    before, begun, taken = states(world, run), attempts(world, run), desk(world)
    found = foreseen(world, run, Action.RETRY)
    foreseen_chunks, write = chunks(found), said(found, "posted")
    assert foreseen_chunks == ChunkCounts(
        runs=before.get("FAILED", 0) + before.get("PENDING", 0), stands=before.get("SUCCEEDED", 0)
    )
    assert write.counts.skips_confirmed == len(taken)
    refuse(world, [] if stop else later)
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    again = {number for number, times in attempts(world, run).items() if times > begun[number]}
    assert len(again) == foreseen_chunks.runs
    if write.known:
        tried = [one for one in world.sql("SELECT state FROM sluice.posting") if one != ("INTENDED",)]
        assert write.counts.posts + write.counts.posts_again == len(tried) - len(taken)
    if steps == OWN:
        assert write.known


def fresh_desk(world: World) -> None:
    """Ten orders, and a desk and a ledger that know nothing of earlier ones."""
    if not world.sql("SELECT 1 FROM sluice.connector WHERE key = 'desk'"):
        set_up(world, [])
    with psycopg.connect(world.erp_url) as erp:
        erp.execute('TRUNCATE desk, "order"')
    add_orders(world, TEN)
    world.sql("WITH gone AS (DELETE FROM sluice.posting RETURNING id) SELECT count(*) FROM gone")


def test_what_is_tolerated_stands_when_a_later_step_is_retried(world: World) -> None:
    after = "  - key: wrong\n    logic_gate: {when: 1 / (each.failed - 1) > 0}\n"
    set_up(world, TEN)
    world.publish(definition(steps=PRICED, dispatch="      tolerate: 1", after=after))
    refuse(world, ["N003"])
    run = go_on(world, world.start("post-orders"))
    assert (run.state, (run.failure or {})["step"]) == (RunState.FAILED, "wrong")
    found = foreseen(world, run, Action.RETRY)
    assert (said(found, "each").will, chunks(found)) == ("stands", ChunkCounts(stands=10))
    assert posted(found) == Counts(skips_confirmed=9)
    begun = attempts(world, run)
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert (attempts(world, run), states(world, run)) == (begun, {"SUCCEEDED": 9, "FAILED": 1})
    assert world.sql("SELECT count(*) FROM sluice.posting WHERE state = 'REJECTED'") == [(1,)]


# Cancel, pause, resume --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stopped:
    """A run that was asked to stop while chunk 3 of 10 was posted, and what was foreseen then."""

    run: RunRow
    found: Forecast


def stopped(world: World, action: Action) -> Stopped:
    run, found = dispatched(world, OWN, "      concurrency: 1"), list[Forecast]()

    def ask() -> None:
        found.append(foreseen(world, run, action))
        act(world, run, action)

    return Stopped(go_on(world, run, hooked(world, before_push=at(4, ask))), found[0])


def test_pausing_lets_the_chunk_in_flight_end_and_resuming_runs_the_rest(world: World) -> None:
    paused = stopped(world, Action.PAUSE)
    assert chunks(paused.found) == ChunkCounts(stands=3, waits=7)
    assert said(paused.found, "posted").counts == Counts(in_flight=1)
    assert "7 chunks of 'each' wait, 3 chunks of 'each' stand" in paused.found.summary
    assert paused.run.state is RunState.SUSPENDED
    assert len(desk(world)) == 4, "what was on its way has arrived"
    assert states(world, paused.run) == {"SUCCEEDED": 3, "SUSPENDED": 1, "PENDING": 6}
    found = foreseen(world, paused.run, Action.RESUME)
    assert chunks(found) == ChunkCounts(runs=7, stands=3)
    assert posted(found) == Counts(posts=6, skips_confirmed=4)
    act(world, paused.run, Action.RESUME)
    run = go_on(world, paused.run)
    assert (run.state, len(desk(world))) == (RunState.SUCCEEDED, 10), run.failure
    assert set(attempts(world, run).values()) == {1}, "a pause is no attempt that failed"


def test_cancelling_ends_the_chunks_that_have_not(world: World) -> None:
    cancelled = stopped(world, Action.CANCEL)
    assert chunks(cancelled.found) == ChunkCounts(stands=3, ends=7)
    assert said(cancelled.found, "posted").counts == Counts(in_flight=1)
    assert cancelled.run.state is RunState.CANCELLED
    assert states(world, cancelled.run) == {"SUCCEEDED": 3, "CANCELLED": 7}
    assert len(desk(world)) == 4


def test_a_replay_skips_what_any_chunk_has_posted(world: World) -> None:
    run = stopped(world, Action.CANCEL).run
    found = foreseen(world, run, Action.REPLAY)
    assert chunks(found) == ChunkCounts(runs=10)
    assert posted(found) == Counts(posts=6, skips_confirmed=4)
    again = go_on(world, act(world, run, Action.REPLAY).run)
    assert (again.state, len(desk(world))) == (RunState.SUCCEEDED, 10), again.failure
    counted = world.sql(
        "SELECT sum((counts->>'posted')::int), sum((counts->>'already_posted')::int) FROM sluice.task_run"
        " WHERE run_id = %s AND step_key = 'posted'",
        [again.id],
    )
    assert counted == [(6, 4)]


def test_a_record_in_doubt_is_settled_as_its_operation_declares(world: World) -> None:
    run = dispatched(world, OWN, "      concurrency: 1")
    lost = InDoubt("The connection broke while the answer was on its way.")
    services = hooked(world, after_push=raising(None, lost), idempotency=Idempotency.NONE)
    run = go_on(world, run, services)
    assert states(world, run) == {"SUCCEEDED": 9, "FAILED": 1}
    assert posted(foreseen(world, run, Action.RETRY, Idempotency.NONE)) == Counts(skips_confirmed=9, holds=1)
    assert posted(foreseen(world, run, Action.RETRY, Idempotency.NATIVE)).sends_again == 1
    act(world, run, Action.RETRY)
    run = go_on(world, run)
    assert (run.state, len(desk(world))) == (RunState.SUCCEEDED, 10), run.failure


def test_the_api_tells_chunks_in_a_forecast(world: World) -> None:
    run = dispatched(world)
    refuse(world, ["N003"])
    run = go_on(world, run)
    reply = call(world, "runs_retry", id=str(run.id), query={"forecast": "true"}).body
    each, write = reply["steps"]
    assert each["chunks"] == {"runs": 1, "stands": 9, "waits": 0, "ends": 0}
    assert (write["step"], write["verb"], write["chunks"]) == ("posted", "push", None)
    assert reply["nested"] == {"ends": 0, "goes_on": 0}
    assert [line[0] for line in audited(world, run)][-1] == "run.failed", "nothing was done"


# Dead letters -----------------------------------------------------------------------------------------


def letter_of(world: World, run: RunRow, step: str) -> dict[str, Any]:
    found = call(world, "dead_letters_list", query={"run": str(run.id), "step": step}).body["items"]
    assert isinstance(found[0], dict)
    return found[0]


def retry_letter(world: World, letter: dict[str, Any], **edit: str) -> Any:
    return call(world, "dead_letters_retry_one", id=letter["id"], body={"reason": "why", "edit": edit})


def test_what_a_chunk_has_set_aside_is_not_repaired_by_itself(world: World) -> None:
    steps = PRICED + "          rejects: dead_letter\n"
    run = dispatched(world, steps)
    refuse(world, ["N003"])
    run = go_on(world, run)
    assert run.state is RunState.SUCCEEDED, run.failure
    letter = letter_of(world, run, "posted")
    reply = retry_letter(world, letter)
    assert (reply.status, reply.body["code"]) == (409, "conflict")
    assert "chunk 3 of 'each'" in reply.body["detail"]
    assert "replay the run" in reply.body["detail"]
    assert world.sql("SELECT DISTINCT state FROM sluice.dead_letter") == [("OPEN",)]
    assert world.sql("SELECT count(*) FROM sluice.workflow_run") == [(1,)]
    refuse(world, [])
    again = go_on(world, act(world, run, Action.REPLAY).run)
    assert (again.state, len(desk(world))) == (RunState.SUCCEEDED, 10)


def test_records_without_a_chunk_of_their_own_are_repaired_where_a_step_has_them(world: World) -> None:
    set_up(world, [("N1", "1.00"), ("N1", "2.00"), ("N2", "4.00")])
    text = definition(steps=PRICED, over="orders", after="    rejects: dead_letter").replace(
        "steps:\n  - key: each",
        "steps:\n  - key: orders\n    fetch: {connector: desk, operation: orders}\n  - key: each",
    )
    world.publish(text)
    run = go_on(world, world.start("post-orders"))
    assert run.state is RunState.SUCCEEDED, run.failure
    letter = letter_of(world, run, "each")
    assert letter["chunk_id"] is None
    reply = retry_letter(world, letter, number="N3")
    assert reply.status == 202, reply.body
    repaired = world.finish(world.run(reply.body["id"]))
    assert repaired.state is RunState.SUCCEEDED, repaired.failure
    assert [number for number, _ in desk(world)] == ["N1", "N2", "N3"]


def test_what_a_dispatch_reads_itself_is_not_repaired_by_itself(world: World) -> None:
    set_up(world, [("N1", "1.00"), ("N1", "2.00")])
    world.publish(definition(steps=PRICED, after="    rejects: dead_letter"))
    run = go_on(world, world.start("post-orders"))
    assert run.state is RunState.SUCCEEDED, run.failure
    reply = retry_letter(world, letter_of(world, run, "each"), number="N3")
    assert reply.status == 409
    assert "reads its records itself" in reply.body["detail"]
    assert "replay the run" in reply.body["detail"]


@pytest.mark.parametrize("action", [Action.PAUSE, Action.CANCEL])
def test_before_a_dispatch_has_begun_there_are_no_chunks_to_tell_of(world: World, action: Action) -> None:
    found = foreseen(world, dispatched(world), action)
    assert (chunks(found), said(found, "posted").counts) == (ChunkCounts(), Counts())
