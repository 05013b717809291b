"""A segment that is executed again, late, or after what it reads has changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from activities.contract import Next
from activities.finishing import fail_run
from activities.services import Services
from adapters.contract import Adapter, Idempotency, Operation, Outgoing, PushResult
from kernel.errors import InDoubt, InternalError, SystemUnavailable
from kernel.records import Records
from store.blobs import CONTEXT
from tests.integration.runs.test_exactly_once import Killed
from tests.integration.runs.test_segments import LOG, definition
from tests.support.world import SMALL_LOG, World, drive, one_segment, waits, work_log
from workflows.states import RunState, TaskState


@dataclass
class Hooked:
    """Forwards to a real adapter; hooks run before and after its calls."""

    inner: Adapter
    before_fetch: Callable[[], None] = lambda: None
    before_push: Callable[[], None] = lambda: None
    after_push: Callable[[], None] = lambda: None
    idempotency: Idempotency = Idempotency.NATIVE
    batch_size: int = 1000

    def fetch(self, operation: str, parameters: Mapping[str, Any]) -> Iterator[Records]:
        """Fetch for real."""
        self.before_fetch()
        return self.inner.fetch(operation, parameters)

    @property
    def operations(self) -> Mapping[str, Operation]:
        """The real operations, as idempotent as the test says."""
        return {
            name: replace(operation, idempotency=self.idempotency, batch_size=self.batch_size)
            for name, operation in self.inner.operations.items()
        }

    def push(
        self, operation: str, parameters: Mapping[str, Any], batch: Sequence[Outgoing]
    ) -> list[PushResult]:
        """Push for real."""
        self.before_push()
        results = self.inner.push(operation, parameters, batch)
        self.after_push()
        return results

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def hooked(world: World, **hooks: Any) -> Services:
    """Services whose adapters are hooked."""
    return world.with_adapter(lambda inner: Hooked(inner, **hooks))  # type: ignore[return-value,arg-type]


def raising(*errors: BaseException | None) -> Callable[[], None]:
    """A hook that raises these in turn, then nothing."""
    waiting = iter(errors)

    def hook() -> None:
        error = next(waiting, None)
        if error is not None:
            raise error

    return hook


def replaced(world: World, name: str, rows: Iterable[Sequence[str]]) -> None:
    """Other content in an uploaded file."""
    world.services.blobs.write("files", name, work_log(list(rows)), overwrite=True)


DOWN = SystemUnavailable("The ledger does not answer.")


def test_a_source_that_goes_away_after_it_was_read_once_ends_the_run(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    assert waits(one_segment(hooked(world, before_push=raising(DOWN)), run.id))
    broken = hooked(world, before_fetch=raising(*[DOWN] * 20))
    outcomes = [one_segment(broken, run.id) for _ in range(5)]
    assert outcomes[-1].next is Next.ENDED, outcomes
    ended = world.run(run.id)
    assert (ended.state, (ended.failure or {})["step"]) == (RunState.FAILED, "work_log")
    assert TaskState.RUNNING not in {task.state for task in world.tasks(run.id).values()}


def test_what_was_never_sent_can_be_corrected_and_posted(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    drive(hooked(world, before_push=raising(*[DOWN] * 20)), world.start(file=name).id)
    assert dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1")) == {"INTENDED": 2}
    corrected = [(*SMALL_LOG[0][:4], "2024-03-01T09:00:00+02:00"), *SMALL_LOG[1:]]
    run = world.post(corrected)
    assert (world.tasks(run.id)["post"].counts or {})["posted"] == 2
    assert [line[3] for line in world.ledger()] == [5_400, 3_600]


def test_without_idempotency_a_refused_call_is_tried_again(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    services = hooked(world, before_push=raising(DOWN), idempotency=Idempotency.NONE)
    drive(services, run.id)
    assert (world.run(run.id).state, len(world.ledger())) == (RunState.SUCCEEDED, 2)


def test_without_idempotency_an_unknown_outcome_is_held(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    lost = InDoubt("The connection broke while the answer was on its way.")
    drive(hooked(world, after_push=raising(lost), idempotency=Idempotency.NONE), run.id)
    assert (world.run(run.id).failure or {})["code"] == "in_doubt"
    assert dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1")) == {"IN_DOUBT": 2}
    assert len(world.ledger()) == 2


def test_a_line_that_was_posted_and_then_vanished_from_the_source_is_noticed(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    run = world.start(file=name)
    with pytest.raises(Killed):
        one_segment(hooked(world, batch_size=1, before_push=raising(None, Killed())), run.id)
    posted = {line[0] for line in world.ledger()}
    replaced(world, name, [row for row in SMALL_LOG if row[0] not in posted])
    ended = world.finish(run)
    assert (ended.state, (ended.failure or {})["code"]) == (RunState.FAILED, "totals_not_proved")
    assert "1 of them are not there any more" in str(ended.failure)
    assert {line[0] for line in world.ledger()} == posted


def test_a_line_that_was_posted_and_then_changed_in_the_source_is_noticed(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    run = world.start(file=name)
    with pytest.raises(Killed):
        one_segment(hooked(world, batch_size=1, before_push=raising(None, Killed())), run.id)
    replaced(world, name, [(*row[:4], row[4].replace("30:00+", "31:00+")) for row in SMALL_LOG])
    ended = world.finish(run)
    assert (ended.state, (ended.failure or {})["code"]) == (RunState.FAILED, "totals_not_proved")
    assert "1 of them have other values now" in str(ended.failure)
    assert len(world.ledger()) == 1


def test_a_gate_decides_once(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    run = world.start(file=name)
    with pytest.raises(Killed):
        one_segment(hooked(world, batch_size=1, before_push=raising(None, Killed())), run.id)
    replaced(world, name, [])
    ended = world.finish(run)
    assert ended.state is RunState.FAILED
    assert len(world.ledger()) == 1
    assert world.tasks(run.id)["post"].state is not TaskState.RUNNING


GUARDED = """
workflow: guarded
inputs: {file: {type: text}}
steps:
  - key: log
    fetch:
      connector: worklog
      operation: records
      with:
        path: "${{ inputs.file }}"
        columns: {case_id: text, activity: text, resource: text, start_time: timestamp_text}
  - key: lines
    transform:
      sql: |
        SELECT case_id, activity, resource AS worker, CAST(left(start_time, 10) AS DATE) AS work_date,
               CAST(60 AS BIGINT) AS worked_seconds, CAST(1.25 AS DECIMAL(18,2)) AS amount
        FROM log ORDER BY case_id, start_time
  - key: enough
    logic_gate: {when: lines.records > 3, otherwise: %s}
  - key: policy
    govern:
      facts: SELECT count(*) AS total FROM lines
      rules: [{deny: total > 0, because: Nothing may be posted.}]
  - key: post
    push: {connector: erp, operation: job_ledger, records: lines, key: [case_id, activity, work_date, worker]}
    rejects: dead_letter
  - key: last
    transform: {sql: "SELECT 1 AS n"}
  - key: more
    transform: {sql: "SELECT case_id FROM lines ORDER BY 1"}
"""


class DyingDatabase:
    """Dies before its n-th transaction."""

    def __init__(self, inner: Any, survive: int) -> None:
        self._inner, self._left = inner, survive

    def transaction(self, actor: str, *, swift: bool = False) -> Any:
        """A transaction, or death."""
        self._left -= 1
        if self._left < 0:
            raise Killed
        return self._inner.transaction(actor, swift=swift)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("target", ["end", "last", "more"])
def test_a_crash_while_steps_are_bypassed_lets_no_write_past_its_policy(world: World, target: str) -> None:
    world.publish(GUARDED % target)
    name = world.upload(SMALL_LOG[:2])
    survived = 0
    while True:
        replaced(world, name, SMALL_LOG[:2])
        run = world.start("guarded", file=name)
        try:
            drive(replace(world.services, database=DyingDatabase(world.services.database, survived)), run.id)  # type: ignore[arg-type]
            break
        except Killed:
            survived += 1
        replaced(world, name, SMALL_LOG)
        world.finish(run)
        assert world.ledger() == [], (target, survived)
    assert survived > 1
    assert world.run(run.id).state is RunState.SUCCEEDED


def test_a_gate_that_jumps_over_segments_carries_what_its_target_needs(world: World) -> None:
    world.publish(GUARDED % "more")
    run = world.finish(world.start("guarded", file=world.upload(SMALL_LOG[:2])))
    tasks = world.tasks(run.id)
    assert run.state is RunState.SUCCEEDED, run.failure
    assert {key for key, task in tasks.items() if task.state is TaskState.SKIPPED} == {
        "policy",
        "post",
        "last",
    }
    assert (tasks["more"].counts or {})["records"] == 2


def test_an_execution_that_comes_late_changes_nothing_of_a_finished_run(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    tasks = "SELECT step_key, state, counts, measures, attempt FROM sluice.task_run ORDER BY 1"
    finished: list[Any] = []

    def overtaken() -> None:
        world.finish(run)
        finished.append(world.sql(tasks))

    one_segment(hooked(world, batch_size=1, before_push=overtaken), run.id)
    assert world.sql(tasks) == finished[0]
    assert world.run(run.id).state is RunState.SUCCEEDED


def test_an_execution_that_comes_late_reads_but_does_not_count_again(world: World) -> None:
    world.publish()
    name = world.upload(SMALL_LOG)
    run = world.start(file=name)
    calls: list[int] = []

    def overtaken() -> None:
        calls.append(1)
        if len(calls) == 1:
            world.finish(run)
            replaced(world, name, SMALL_LOG[:1])

    before = hooked(world, before_fetch=overtaken)
    one_segment(before, run.id)
    assert (world.tasks(run.id)["work_log"].counts or {})["records"] == 4
    assert len(world.ledger()) == 2


def test_an_ended_run_sends_nothing_more(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))

    def end() -> None:
        fail_run(world.services, world.run(run.id), "limits", InternalError("stopped"), 0)

    services = hooked(world, batch_size=1, after_push=end)
    assert one_segment(services, run.id).state == RunState.FAILED
    assert len(world.ledger()) == 1
    states = dict(world.sql("SELECT state, count(*) FROM sluice.posting GROUP BY 1"))
    assert states == {"CONFIRMED": 1, "INTENDED": 1}


def test_an_ended_run_gets_no_context_key_again(world: World) -> None:
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    real = world.services.contexts.save

    def save(*arguments: Any) -> None:
        fail_run(world.services, world.run(run.id), "more", InternalError("stopped"), 0)
        real(*arguments)

    contexts = type(world.services.contexts).__new__(type(world.services.contexts))
    contexts.__dict__.update(world.services.contexts.__dict__, save=save)
    outcome = one_segment(replace(world.services, contexts=contexts), run.id)
    assert (outcome.next, outcome.state) == (Next.ENDED, RunState.FAILED)
    assert world.sql("SELECT context_key FROM sluice.workflow_run") == [(None,)]
    assert world.services.blobs.delete_prefix(CONTEXT, f"{run.id}/") == 0


def test_blobs_that_could_not_be_deleted_are_deleted_by_the_repeat(world: World) -> None:
    world.publish(definition())
    run = world.start("two-writes", file=world.upload(LOG))
    one_segment(world.services, run.id)
    contexts = type(world.services.contexts).__new__(type(world.services.contexts))
    contexts.__dict__.update(world.services.contexts.__dict__, destroy=lambda *_run: raising(Killed())())
    with pytest.raises(Killed):
        one_segment(replace(world.services, contexts=contexts), run.id, 1)
    assert one_segment(world.services, run.id, 1).next is Next.ENDED
    assert world.services.blobs.delete_prefix(CONTEXT, f"{run.id}/") == 0


def test_a_fault_outside_the_steps_ends_the_run_visibly(world: World) -> None:
    version = world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    world.sql("UPDATE sluice.workflow_version SET plan = '{}' WHERE id = %s RETURNING id", [version.id])
    outcome = one_segment(world.services, run.id)
    assert (outcome.next, outcome.state) == (Next.ENDED, RunState.FAILED)
    assert (world.run(run.id).failure or {})["code"] == "internal"


def test_a_measure_called_records_may_be_anything(world: World) -> None:
    world.publish(
        definition().replace(
            "    sensitive: [worker]\n  - key: allowed",
            "    sensitive: [worker]\n    measures: {records: sum(amount)}\n  - key: allowed",
        )
    )
    run = world.finish(world.start("two-writes", file=world.upload(LOG)))
    assert run.state is RunState.SUCCEEDED, run.failure
    assert (world.tasks(run.id)["first"].counts or {})["records"] == 4


def test_two_pushes_of_the_same_lines_count_them_once(world: World) -> None:
    twice = definition().replace("records: second\n", "records: first\n")
    world.publish(twice)
    run = world.finish(world.start("two-writes", file=world.upload(LOG)))
    assert run.state is RunState.SUCCEEDED, run.failure
    counts = [world.tasks(run.id)[key].counts or {} for key in ("post_first", "post_second")]
    assert [(one["posted"], one["already_posted"]) for one in counts] == [(3, 0), (0, 3)]
    assert len(world.ledger()) == 3
