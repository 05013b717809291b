"""What becomes of records whose call was begun and never answered, and what the ledger knows meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from activities.contract import Next
from activities.finishing import fail_run
from activities.services import Services
from adapters.contract import Adapter, Idempotency, PushResult
from kernel.errors import InDoubt, InternalError
from store import postings
from tests.integration.runs.test_exactly_once import Killed
from tests.integration.runs.test_repeats import Hooked, hooked, raising, replaced
from tests.integration.runs.test_segments import CANARY, LOG, definition
from tests.support.world import ACTOR, SMALL_LOG, World, drive, one_segment, waits
from workflows.states import RunState

NONE, LOOKUP = Idempotency.NONE, Idempotency.LOOKUP
LOST = InDoubt("The connection broke while the answer was on its way.")
OTHER = [(*row[:4], row[4].replace("30:00+", "31:00+")) for row in SMALL_LOG]


@dataclass
class Calls:
    """A real adapter that is counted."""

    pushed: list[int] = field(default_factory=list)
    looked_up: list[int] = field(default_factory=list)

    def services(self, world: World, **hooks: Any) -> Services:
        """Services whose adapters write down their calls here."""
        return world.with_adapter(lambda inner: _Counted(inner, self, **hooks))  # type: ignore[return-value,arg-type]


class _Counted(Hooked):
    def __init__(self, inner: Adapter, calls: Calls, **hooks: Any) -> None:
        super().__init__(inner, **hooks)
        self._calls = calls

    def push(self, operation: str, parameters: Mapping[str, Any], batch: Sequence[Any]) -> list[PushResult]:
        """Push for real."""
        self._calls.pushed.append(len(batch))
        return super().push(operation, parameters, batch)

    def find_posted(
        self, operation: str, parameters: Mapping[str, Any], keys: Sequence[str]
    ) -> Mapping[str, str]:
        """Look up for real."""
        self._calls.looked_up.append(len(keys))
        return self.inner.find_posted(operation, parameters, keys)


def states(world: World) -> dict[str, int]:
    """How many postings are in each state."""
    return dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1"))


def counts(world: World, run: Any, step: str = "post") -> Mapping[str, int]:
    """What the write says of its records."""
    return world.tasks(run.id)[step].counts or {}


def dies(world: World, when: str, name: str, idempotency: Idempotency) -> Any:
    """A run whose process dies around its call."""
    run = world.start(file=name)
    with pytest.raises(Killed):
        one_segment(hooked(world, idempotency=idempotency, **{when: raising(Killed())}), run.id)
    assert states(world) == {"SENT": 2}
    return run


@pytest.mark.parametrize(("when", "pushed"), [("after_push", []), ("before_push", [2])])
def test_a_call_without_an_answer_is_looked_up_once_it_has_settled(
    world: World, when: str, pushed: list[int]
) -> None:
    world.publish()
    run, calls = dies(world, when, world.upload(SMALL_LOG), LOOKUP), Calls()
    services = calls.services(world, idempotency=LOOKUP)
    early = one_segment(services, run.id)
    assert waits(early)
    assert 50 < early.wait_seconds <= 66  # a statement takes at most 60 seconds, the wait a tenth more
    assert (calls.pushed, calls.looked_up) == ([], [])
    drive(services, run.id)
    assert (world.run(run.id).state, counts(world, run)["posted"]) == (RunState.SUCCEEDED, 2)
    assert (calls.pushed, calls.looked_up) == (pushed, [2])
    assert (len(world.ledger()), states(world)) == (2, {"CONFIRMED": 2})
    assert world.sql("SELECT count(external_id) FROM sluice.posting") == [(2,)]


def test_what_another_run_has_posted_is_found_and_stays_its_own(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    dead, calls = dies(world, "after_push", name, LOOKUP), Calls()
    world.services.clock.skip(timedelta(minutes=5))  # type: ignore[attr-defined]
    run = world.start(file=name)
    drive(calls.services(world, idempotency=LOOKUP), run.id)
    assert (world.run(run.id).state, counts(world, run)["already_posted"]) == (RunState.SUCCEEDED, 2)
    assert (calls.pushed, calls.looked_up) == ([], [2])
    assert world.sql("SELECT DISTINCT run_id, state FROM sluice.posting") == [(dead.id, "CONFIRMED")]


@pytest.mark.parametrize(
    ("when", "fates", "amounts"),
    [("after_push", (0, 1, 1), [7_200, 3_600]), ("before_push", (2, 0, 0), [7_260, 3_600])],
)
def test_other_values_than_those_of_a_lost_call(
    world: World, when: str, fates: tuple[int, ...], amounts: list[int]
) -> None:
    world.publish()
    dies(world, when, world.upload(SMALL_LOG), LOOKUP)
    world.services.clock.skip(timedelta(minutes=5))  # type: ignore[attr-defined]
    run = world.start(file=world.upload([(*OTHER[0][:3], *SMALL_LOG[0][3:]), OTHER[1], *SMALL_LOG[2:]]))
    drive(hooked(world, idempotency=LOOKUP), run.id)
    found = counts(world, run)
    assert (found["posted"], found["already_posted"], found["rejected"]) == fates
    assert [line[3] for line in world.ledger()] == amounts


def test_a_lost_answer_is_looked_up_by_the_same_run(world: World) -> None:
    world.publish()
    run, calls = world.start(file=world.upload(SMALL_LOG)), Calls()
    drive(calls.services(world, idempotency=LOOKUP, after_push=raising(LOST)), run.id)
    assert (world.run(run.id).state, counts(world, run)["posted"]) == (RunState.SUCCEEDED, 2)
    assert (calls.pushed, calls.looked_up, len(world.ledger())) == ([2], [2], 2)
    [attempt] = world.tasks(run.id)["post"].attempts
    assert (attempt["code"], attempt["wait_seconds"] >= 60) == ("transient", True)


@pytest.mark.parametrize("when", ["after_push", "before_push"])
def test_what_cannot_be_looked_up_is_held_and_never_sent_again(world: World, when: str) -> None:
    world.publish()
    run, calls = dies(world, when, world.upload(SMALL_LOG), NONE), Calls()
    services = calls.services(world, idempotency=NONE)
    assert waits(one_segment(services, run.id))
    assert states(world) == {"SENT": 2}
    drive(services, run.id)
    ended = world.run(run.id)
    assert (ended.state, (ended.failure or {})["code"]) == (RunState.FAILED, "in_doubt")
    assert (states(world), calls.pushed, calls.looked_up) == ({"IN_DOUBT": 2}, [], [])
    assert counts(world, run)["held"] == 2


def test_a_second_delivery_waits_for_the_call_of_the_first(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    second: list[Any] = []

    def twice() -> None:
        second.append(one_segment(hooked(world, idempotency=NONE), run.id))

    first = one_segment(hooked(world, idempotency=NONE, after_push=twice), run.id)
    assert (waits(second[0]), first.state) == (True, RunState.SUCCEEDED)
    assert (states(world), len(world.ledger())) == ({"CONFIRMED": 2}, 2)


def test_records_that_nobody_waits_for_are_posted_before_the_others_are_waited_for(world: World) -> None:
    world.publish()
    run, calls = world.start(file=world.upload(SMALL_LOG)), Calls()
    with pytest.raises(Killed):
        one_segment(hooked(world, batch_size=1, idempotency=LOOKUP, after_push=raising(Killed())), run.id)
    assert states(world) == {"SENT": 1, "INTENDED": 1}
    assert waits(one_segment(calls.services(world, batch_size=1, idempotency=LOOKUP), run.id))
    assert states(world) == {"SENT": 1, "CONFIRMED": 1}
    assert calls.pushed == [1]


@pytest.mark.parametrize("way", list(Idempotency))
def test_an_answer_that_comes_after_the_run_has_ended_is_written_down(world: World, way: Idempotency) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    between: list[dict[str, int]] = []

    def end() -> None:
        fail_run(world.services, world.run(run.id), "limits", InternalError("stopped"), 0)
        between.append(states(world))

    outcome = one_segment(hooked(world, after_push=end, idempotency=way), run.id)
    assert (outcome.next, outcome.state) == (Next.ENDED, RunState.FAILED)
    assert (between, states(world)) == ([{"IN_DOUBT": 2}], {"CONFIRMED": 2})


def answering(change: Callable[[list[PushResult]], list[PushResult]]) -> Callable[[Adapter], Any]:
    """An adapter that pushes for real and changes the answer."""

    class Odd(Hooked):
        def push(self, *arguments: Any) -> list[PushResult]:
            """Push for real."""
            return change(super().push(*arguments))

    return lambda inner: Odd(inner, idempotency=NONE)


ODD_ANSWERS: Mapping[str, Callable[[list[PushResult]], list[PushResult]]] = {
    "missing": lambda results: results[:1],
    "doubled": lambda results: [*results, results[1]],
    "contradictory": lambda results: [*results, replace(results[1], external_id="other")],
    "of another key": lambda results: [results[0], replace(results[1], key="unknown")],
}


@pytest.mark.parametrize("change", ODD_ANSWERS.values(), ids=list(ODD_ANSWERS))
def test_a_record_without_exactly_one_result_is_in_doubt(
    world: World, change: Callable[[list[PushResult]], list[PushResult]]
) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    drive(world.with_adapter(answering(change)), run.id)
    assert (world.run(run.id).failure or {})["code"] == "in_doubt"
    assert states(world) == {"CONFIRMED": 1, "IN_DOUBT": 1}
    found = counts(world, run)
    assert (found["posted"], found["held"]) == (1, 1)


def test_results_of_unknown_keys_are_ignored(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    drive(
        world.with_adapter(answering(lambda results: [*results, replace(results[0], key="unknown")])), run.id
    )
    assert (world.run(run.id).state, states(world)) == (RunState.SUCCEEDED, {"CONFIRMED": 2})


def test_the_ledger_knows_from_the_start_what_is_to_be_sent(world: World) -> None:
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    seen: list[dict[str, int]] = []
    services = hooked(world, batch_size=1, before_push=lambda: seen.append(states(world)))
    one_segment(services, run.id)
    assert seen == [
        {"INTENDED": 2, "SENT": 1},
        {"INTENDED": 1, "SENT": 1, "CONFIRMED": 1},
        {"SENT": 1, "CONFIRMED": 2},
    ]
    shown = world.sql("SELECT shown, sent_at IS NOT NULL FROM sluice.posting ORDER BY shown ->> 'case_id'")
    first, dated = shown[0]
    assert (first["case_id"], first["activity"], first["work_date"]) == ("1", "Pay Invoice", "2024-03-01")
    assert (first["worker"], dated) == ("[redacted]", True)
    assert CANARY not in str(shown)
    assert len(world.tasks(run.id)["post_first"].batch_digest or "") == 64


def test_a_write_that_stands_does_not_go_on_with_other_records(world: World) -> None:
    together = definition().replace("  - key: more\n", "  - key: never\n")
    world.publish(together)
    name = world.upload(LOG)
    run = world.start("two-writes", file=name)
    real = world.services.contexts.save
    contexts = type(world.services.contexts).__new__(type(world.services.contexts))
    contexts.__dict__.update(world.services.contexts.__dict__, save=lambda *_: raising(Killed())())
    with pytest.raises(Killed):
        one_segment(replace(world.services, contexts=contexts), run.id)
    assert real is not None
    assert states(world) == {"CONFIRMED": 3}
    replaced(world, name, [*LOG[:2], ("9", *LOG[2][1:])])
    ended = world.finish(run)
    assert (ended.state, (ended.failure or {})["step"]) == (RunState.FAILED, "post_first")
    assert "The source changed while the run was repeated" in (ended.failure or {})["message"]
    assert states(world) == {"CONFIRMED": 3}


def test_a_write_that_stands_goes_on_with_the_same_records(world: World) -> None:
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    contexts = type(world.services.contexts).__new__(type(world.services.contexts))
    contexts.__dict__.update(world.services.contexts.__dict__, save=lambda *_: raising(Killed())())
    with pytest.raises(Killed):
        one_segment(replace(world.services, contexts=contexts), run.id)
    assert world.finish(run).state is RunState.SUCCEEDED
    assert len(world.ledger()) == 6


def test_values_that_were_corrected_before_they_were_sent_are_posted(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    run = world.start(file=name)
    with pytest.raises(Killed):
        one_segment(hooked(world, batch_size=1, before_push=raising(Killed())), run.id)
    [(sent,)] = world.sql("SELECT shown ->> 'case_id' FROM sluice.posting WHERE state = 'SENT'")
    corrected = [
        row if row[0] == sent else (*row[:4], row[4].replace("30:00+", "31:00+")) for row in SMALL_LOG
    ]
    replaced(world, name, corrected)
    ended = world.finish(run)
    assert (ended.state, counts(world, run)["posted"]) == (RunState.SUCCEEDED, 2), ended.failure


def test_what_was_refused_is_intended_again_for_a_retry(world: World) -> None:
    world.publish()
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger ADD CONSTRAINT short_lines CHECK (worked_seconds < 7200)")
    run = world.post(SMALL_LOG)
    with world.services.database.transaction(ACTOR) as connection:
        assert postings.release_rejected(connection, run.id, ["post"], world.services.clock()) == 1
        assert postings.release_rejected(connection, run.id, ["post"], world.services.clock()) == 0
    assert states(world) == {"CONFIRMED": 1, "INTENDED": 1}
