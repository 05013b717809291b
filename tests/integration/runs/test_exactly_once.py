"""After any crash, repeat or race, every line is in the ledger exactly once."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from activities.contract import Next
from adapters.contract import Adapter, Outgoing, PushResult
from kernel.errors import InDoubt, NotFound
from kernel.ids import new_id
from store.database import Database
from tests.support.world import SMALL_LOG, WORK_LOG, World, drive, one_segment, waits
from workflows.states import RunState, TaskState

SMALL_LEDGER = [("1", "Pay Invoice", "Ann Ace", 7_200), ("2", "Send Invoice", "Bob Bee", 3_600)]


class Killed(BaseException):
    """Stands for the process dying here: nothing in the product may catch it."""


class MortalDatabase(Database):
    """Dies just before or just after its n-th commit."""

    def __init__(self, inner: Database, survive: int, *, after: bool) -> None:
        self._inner = inner
        self._left = survive
        self._after = after

    @contextmanager
    def transaction(self, actor: str, *, swift: bool = False) -> Iterator[Connection]:
        """A transaction that may be the last."""
        self._left -= 1
        with self._inner.transaction(actor, swift=swift) as connection:
            yield connection
            if self._left < 0 and not self._after:
                raise Killed
        if self._left < 0:
            raise Killed

    @contextmanager
    def reading(self, *, frozen: bool = False) -> Iterator[Connection]:
        """Reads do not die."""
        with self._inner.reading(frozen=frozen) as connection:
            yield connection


class MortalAdapter:
    """Forwards to a real adapter and misbehaves around `push`."""

    def __init__(self, inner: Adapter, before: BaseException | None, after: BaseException | None) -> None:
        self._inner = inner
        self._before, self._after = before, after

    def push(
        self, operation: str, parameters: Mapping[str, Any], batch: Sequence[Outgoing]
    ) -> list[PushResult]:
        """Push for real, with a fault before or after."""
        if self._before:
            raise self._before
        results = self._inner.push(operation, parameters, batch)
        if self._after:
            raise self._after
        return results

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def lines(world: World) -> list[tuple[str, str, str, int]]:
    """The ledger without amounts."""
    return [line[:4] for line in world.ledger()]


@pytest.mark.parametrize("after", [False, True], ids=["before commit", "after commit"])
def test_dying_around_every_commit_loses_and_doubles_nothing(world: World, *, after: bool) -> None:
    world.publish()
    survived = 0
    while True:
        run = world.start(file=world.upload(SMALL_LOG))
        mortal = MortalDatabase(world.services.database, survived, after=after)
        try:
            drive(replace(world.services, database=mortal), run.id)
            break
        except Killed:
            survived += 1
        finished = world.finish(run)
        assert finished.state is RunState.SUCCEEDED, (survived, finished.failure)
        assert lines(world) == SMALL_LEDGER, survived
        _empty_ledgers(world)
    assert survived > 3


def _empty_ledgers(world: World) -> None:
    with psycopg.connect(world.erp_url) as erp, psycopg.connect(world.owner_url) as ours:
        erp.execute("TRUNCATE job_ledger")
        ours.execute("TRUNCATE sluice.posting")


@pytest.mark.parametrize(("before", "after"), [(Killed(), None), (None, Killed())], ids=["before", "after"])
def test_dying_around_the_call_is_repaired_by_the_next_execution(
    world: World, before: BaseException | None, after: BaseException | None
) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    services = world.with_adapter(lambda inner: MortalAdapter(inner, before, after))  # type: ignore[return-value,arg-type]
    with pytest.raises(Killed):
        one_segment(services, run.id)
    assert dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1")) == {"SENT": 2}
    run = world.finish(run)
    counts = world.tasks(run.id)["post"].counts or {}
    assert (run.state, counts["posted"], lines(world)) == (RunState.SUCCEEDED, 2, SMALL_LEDGER)


def test_a_lost_answer_is_asked_for_again_not_guessed(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    lost = InDoubt("The connection broke while the answer was on its way.")
    services = world.with_adapter(lambda inner: MortalAdapter(inner, None, lost))  # type: ignore[return-value,arg-type]
    assert waits(one_segment(services, run.id))
    run = world.finish(run)
    assert (run.state, lines(world)) == (RunState.SUCCEEDED, SMALL_LEDGER)


def test_what_a_dead_run_left_is_finished_by_the_next_run(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    dead = world.start(file=name)
    services = world.with_adapter(lambda inner: MortalAdapter(inner, None, Killed()))  # type: ignore[return-value,arg-type]
    with pytest.raises(Killed):
        one_segment(services, dead.id)
    run = world.finish(world.start(file=name))
    counts = world.tasks(run.id)["post"].counts or {}
    assert (run.state, counts["posted"], lines(world)) == (RunState.SUCCEEDED, 2, SMALL_LEDGER)
    assert dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1")) == {"CONFIRMED": 2}


def test_two_executions_of_one_segment_at_once(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(WORK_LOG.read_bytes()))
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: one_segment(world.services, run.id), range(2)))
    assert {outcome.next for outcome in outcomes} <= {Next.ENDED, Next.RETRY}
    done = world.finish(run)
    assert done.state is RunState.SUCCEEDED, done.failure
    assert len(world.ledger()) == 4_233


def test_two_runs_of_one_file_at_once(world: World) -> None:
    world.publish()
    name = world.upload(WORK_LOG.read_bytes())
    started = [world.start(file=name) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(world.finish, started))
    assert [run.state for run in done] == [RunState.SUCCEEDED] * 2, [run.failure for run in done]
    posted = [(world.tasks(run.id)["post"].counts or {})["posted"] for run in done]
    assert len(world.ledger()) == 4_233
    assert sum(posted) == 4_233
    assert all(line["proved"] for run in done for line in run.totals or [])


def test_other_values_under_a_posted_key_are_refused(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    world.finish(world.start(file=name))
    before = world.ledger()
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("UPDATE labour_rate SET hourly_rate = 99 WHERE activity = 'Pay Invoice'")
    run = world.finish(world.start(file=name))
    counts = world.tasks(run.id)["post"].counts or {}
    assert (counts["posted"], counts["already_posted"], counts["rejected"]) == (0, 1, 1)
    assert world.ledger() == before
    reasons = world.sql("SELECT reason FROM sluice.dead_letter WHERE run_id = %s", [run.id])
    assert reasons == [
        ("The system was sent other values under the same key before; they were not overwritten.",)
    ]
    assert run.totals is not None
    assert all(line["proved"] for line in run.totals)


def test_a_line_that_the_ledger_refuses_does_not_sink_the_others(world: World) -> None:
    world.publish()
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger ADD CONSTRAINT short_lines CHECK (worked_seconds < 7200)")
    run = world.post(SMALL_LOG)
    assert run.state is RunState.SUCCEEDED
    assert lines(world) == SMALL_LEDGER[1:]
    [(reason,)] = world.sql("SELECT reason FROM sluice.dead_letter")
    assert "short_lines" in reason
    assert dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1")) == {
        "CONFIRMED": 1,
        "REJECTED": 1,
    }


def test_a_refused_line_is_posted_once_the_ledger_takes_it(world: World) -> None:
    world.publish()
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger ADD CONSTRAINT short_lines CHECK (worked_seconds < 7200)")
    name = world.upload(SMALL_LOG)
    world.finish(world.start(file=name))
    with psycopg.connect(world.erp_url) as erp:
        erp.execute("ALTER TABLE job_ledger DROP CONSTRAINT short_lines")
    run = world.finish(world.start(file=name))
    counts = world.tasks(run.id)["post"].counts or {}
    assert (counts["posted"], counts["already_posted"], counts["rejected"]) == (1, 1, 0)
    assert lines(world) == SMALL_LEDGER


def test_an_unreachable_ledger_waits_and_then_fails_without_posting(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    broken = ConnectionRefusingAdapter
    services = world.with_adapter(lambda inner: broken(inner))  # type: ignore[return-value,arg-type]
    first = one_segment(services, run.id)
    assert waits(first)
    assert first.wait_seconds >= 2
    drive(services, run.id)
    ended = world.run(run.id)
    assert ended.state is RunState.FAILED
    assert ended.failure is not None
    assert (ended.failure["step"], ended.failure["code"]) == ("post", "system_unavailable")
    assert world.tasks(run.id)["post"].attempt == 5
    assert world.ledger() == []


class ConnectionRefusingAdapter(MortalAdapter):
    """A real adapter pointed at a port where nobody listens, for writes only."""

    def __init__(self, inner: Adapter) -> None:
        super().__init__(inner, None, None)

    def push(
        self, operation: str, parameters: Mapping[str, Any], batch: Sequence[Outgoing]
    ) -> list[PushResult]:
        """Push to a closed port."""
        settings = {**self._inner.connector.settings, "port": 1}
        unreachable = type(self._inner)(
            replace(self._inner.connector, settings=settings), self._inner.credentials
        )
        return unreachable.push(operation, parameters, batch)


def test_no_row_no_run(world: World) -> None:
    with pytest.raises(NotFound):
        one_segment(world.services, new_id())
    assert world.sql("SELECT count(*) FROM sluice.state_transition") == [(0,)]


def test_a_finished_run_is_not_touched_again(world: World) -> None:
    world.publish()
    run = world.post(SMALL_LOG)
    before = world.sql("SELECT count(*) FROM sluice.state_transition")
    outcome = one_segment(world.services, run.id)
    assert (outcome.next, outcome.state) == (Next.ENDED, RunState.SUCCEEDED)
    assert world.sql("SELECT count(*) FROM sluice.state_transition") == before


def test_a_write_that_runs_out_of_time_goes_on_from_the_ledger(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(WORK_LOG.read_bytes()))
    hurried = replace(world.services, write_seconds=0.0)
    first = one_segment(hurried, run.id)
    assert (first.next, first.segment) == (Next.CONTINUE, 0)
    assert 0 < len(world.ledger()) < 4_233
    drive(hurried, run.id)
    assert world.run(run.id).state is RunState.SUCCEEDED
    assert world.tasks(run.id)["post"].attempt == 1
    assert len(world.ledger()) == 4_233
    assert world.tasks(run.id)["post"].state is TaskState.SUCCEEDED


def test_what_an_earlier_call_sent_stays_sent_when_the_next_call_fails(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    lost = world.with_adapter(lambda inner: MortalAdapter(inner, None, Killed()))  # type: ignore[return-value,arg-type]
    with pytest.raises(Killed):
        one_segment(lost, run.id)
    away = world.with_adapter(lambda inner: ConnectionRefusingAdapter(inner))  # type: ignore[return-value,arg-type]
    assert waits(one_segment(away, run.id))
    assert dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1")) == {"SENT": 2}


def test_what_was_never_sent_is_intended_again_when_the_call_fails(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    away = world.with_adapter(lambda inner: ConnectionRefusingAdapter(inner))  # type: ignore[return-value,arg-type]
    assert waits(one_segment(away, run.id))
    assert dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1")) == {"INTENDED": 2}
