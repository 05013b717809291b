"""Runs the steps of one segment, in order, with the context in memory."""

import logging
import random
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from activities.approving import Asks, ask, keep_lines
from activities.beginning import Begun, begin, instead_of
from activities.contract import Next, Outcome, SegmentInput
from activities.finishing import cancel_run, fail_run, finish_run, suspend_run
from activities.interruption import Interrupted, check_current, check_going
from activities.notes import Notes
from activities.restoring import restored
from activities.services import ENGINE, Services
from activities.step import StepFailed, run_step
from activities.waiting import hold_run, waiting_outcome
from activities.work import Work
from kernel.errors import InternalError, NotFound, SluiceError, TimedOut, Unavailable
from kernel.ids import new_id
from kernel.traces import trace_of
from store import executions, runs
from store.attempts import record_attempt
from store.runs import Signal
from workflows.context import PipelineContext, pipeline_context
from workflows.model import Workflow
from workflows.states import TaskState

logger = logging.getLogger(__name__)


def run_segment(services: Services, given: SegmentInput) -> Outcome:
    """Execute a segment; may run twice at any point.

    Raises `NotFound` when the run row does not exist (no row, no run) and `Unavailable` when our own database
    or storage does not answer. Everything else is in the outcome: a run never stops without saying so.
    """
    try:
        begun = begin(services, given)
        return begun if isinstance(begun, Outcome) else _Segment(services, begun, given.segment).go()
    except (NotFound, Unavailable):
        raise
    except Exception as exc:  # noqa: BLE001 - the boundary of the activity: what is wrong ends the run visibly
        fields = {"run_id": given.run_id, "segment": given.segment}
        logger.error("segment failed: %s", trace_of(exc), extra=fields)
        error = exc if isinstance(exc, SluiceError) else _unexpected(exc)
        with services.database.reading() as connection:
            run = runs.get_run(connection, UUID(given.run_id))
        return fail_run(services, replace(run, execution=given.execution), None, error, given.segment)


class _Segment:
    def __init__(self, services: Services, begun: Begun, index: int) -> None:
        self.services = services
        self.run_row = begun.run
        self.run_id: UUID = begun.run.id
        self.workflow, self.plan, self.tasks = begun.workflow, begun.plan, begun.tasks
        self.index = index
        self.token = new_id()
        self.notes = Notes()
        self.random = random.Random(self.token.int)  # noqa: S311 - spreads waits, nothing secret

    def go(self) -> Outcome:
        try:
            return self._run()
        except Interrupted as exc:
            return self._stop(exc.signal)
        except Unavailable:
            self._forgive()
            raise
        except Exception:
            with suppress(Exception):  # what went wrong before counts more
                self._write_notes()
            raise

    def _write_notes(self) -> None:
        """Write down what is known, unless the run has ended or belongs to another execution."""
        if self.notes:
            with self.services.database.transaction(ENGINE) as connection:
                check_current(connection, self.services, self.run_row, alone=True)
                self.notes.write(connection)

    def _run(self) -> Outcome:
        contexts, run = self.services.contexts, self.run_row
        if self._held is None:
            saved = contexts.load(self.services.database, run, self.index)
        else:
            saved = contexts.load_held(self.services.database, run)
        earlier = [key for segment in self.plan.segments[: self.index] for key in segment.steps]
        with pipeline_context(restored(saved, self.tasks, [*earlier, *self._done])) as context:
            return self._steps(context)

    @property
    def _held(self) -> str | None:
        """The step of this segment at which the run waited for people, with all that came before it kept."""
        step = self.run_row.held_step
        return step if step in self.plan.segments[self.index].steps else None

    @property
    def _done(self) -> Sequence[str]:
        steps = self.plan.segments[self.index].steps
        return steps[: steps.index(self._held)] if self._held is not None else ()

    def _stop(self, signal: Signal) -> Outcome:
        """Do what the run has asked of this execution."""
        if signal is not Signal.OVERTAKEN:
            with suppress(Interrupted):
                self._write_notes()
        if signal is Signal.CANCEL:
            return cancel_run(self.services, self.run_row, self.index)
        if signal is Signal.PAUSE:
            return suspend_run(self.services, self.run_row, self.index)
        if signal is Signal.OVERDUE:
            return fail_run(self.services, self.run_row, None, _overdue(self.workflow), self.index)
        with self.services.database.reading() as connection:
            run = runs.get_run(connection, self.run_id)
        given = SegmentInput(str(self.run_id), self.index, self.run_row.execution)
        return instead_of(run, given, self.services.clock()) or Outcome(Next.CONTINUE, self.index)

    def _forgive(self) -> None:
        """Our own services were away, perhaps not the database; that does not count against the segment."""
        with suppress(Unavailable, Interrupted):
            self._write_notes()
        with suppress(Unavailable), self.services.database.transaction(ENGINE) as connection:
            executions.forgive_start(connection, self.run_id, self.run_row.execution)

    def _steps(self, context: PipelineContext) -> Outcome:
        heard = self._hear()
        bypassed = {key for key, task in self.tasks.items() if task.state is TaskState.SKIPPED}
        for key in self.plan.segments[self.index].steps:
            if key in bypassed or key in self._done:
                continue
            try:
                result = run_step(
                    self._begun(), self.tasks[key], context, self.token, self.services, self.notes,
                    heard=heard,
                )  # fmt: skip
            except StepFailed as exc:
                return self._failed(exc)
            heard = False
            if result.asks is not None and result.asks.waits:
                return self._ask(key, context, result.asks)
            if result.unfinished:
                return self._again()
            if result.meanwhile is not None:
                return self._meanwhile(result.meanwhile)
            if result.jump is not None:
                bypassed |= self._bypass(key, result.jump)
        return self._leave(context, bypassed)

    def _hear(self) -> bool:
        """Raise `Interrupted` when the run is to stop, as far as it said so when the segment began."""
        run, now = self.run_row, self.services.clock()
        if run.requested or (run.deadline_at is not None and now >= run.deadline_at):
            with self.services.database.transaction(ENGINE) as connection:
                signal = runs.signal(connection, run.id, run.execution, now)
            if signal is not Signal.GO:
                raise Interrupted(signal)
        return True

    def _begun(self) -> Begun:
        return Begun(self.run_row, self.workflow, self.plan, self.tasks)

    def _again(self) -> Outcome:
        self._advance(self.index)
        return Outcome(Next.CONTINUE, self.index)

    def _meanwhile(self, outcome: Outcome) -> Outcome:
        """Others work for this run now, unless it is to stop."""
        now = self.services.clock()
        with self.services.database.transaction(ENGINE) as connection:
            signal = runs.signal(connection, self.run_id, self.run_row.execution, now, alone=True)
            if signal is not Signal.GO:
                raise Interrupted(signal)
            self.notes.write(connection)
            executions.advance(connection, self.run_id, self.run_row.execution, self.index, now)
            if outcome.next is Next.RETRY:
                until = now + timedelta(seconds=outcome.wait_seconds)
                executions.await_until(connection, self.run_id, self.run_row.execution, until, now)
        return replace(outcome, segment=self.index)

    def _ask(self, key: str, context: PipelineContext, asks: Asks) -> Outcome:
        """Wait until people have decided. What is needed then is sealed before anybody is asked."""
        services, run, now = self.services, self.run_row, self.services.clock()
        live = self.plan.segments[self.index].holds[key]
        held = {name: output for name, output in context.outputs().items() if name in live}
        services.contexts.hold(services.database, run, key, held, ENGINE)
        keep_lines(services, run, asks)
        work = Work(services, run, self.workflow, asks.step, context, self.token)
        with services.database.transaction(ENGINE) as connection:
            check_going(connection, work, alone=True)
            self.notes.write(connection)
            waiting = ask(connection, work, asks, now)
            if waiting:
                hold_run(connection, run, key, self.index, now)
        return waiting_outcome(waiting, self.index, now) if waiting else Outcome(Next.CONTINUE, self.index)

    def _bypass(self, gate: str, target: str) -> set[str]:
        """Skip what lies between a gate and its target, all at once: a crash must not leave a policy
        skipped and the write behind it not."""
        keys = [step.key for step in self.workflow.steps]
        stop = len(keys) if target == "end" else keys.index(target)
        bypassed = keys[keys.index(gate) + 1 : stop]
        now = self.services.clock()
        self.notes.add(
            lambda connection: runs.finish_tasks(
                connection, self.run_id, TaskState.SKIPPED, now, keys=bypassed
            )
        )
        return set(bypassed)

    def _leave(self, context: PipelineContext, bypassed: Set[str]) -> Outcome:
        segments = self.plan.segments
        later = range(self.index + 1, len(segments))
        following = next((index for index in later if set(segments[index].steps) - bypassed), None)
        if following is None:
            return finish_run(self.services, self.run_row, self.workflow, self.index, self.notes)
        self._write_notes()
        carries = segments[following - 1].carries
        carried = {key: output for key, output in context.outputs().items() if key in carries}
        self.services.contexts.save(self.services.database, self.run_row, following - 1, carried, ENGINE)
        self._advance(following)
        return Outcome(Next.CONTINUE, following)

    def _advance(self, segment: int) -> None:
        now = self.services.clock()
        with self.services.database.transaction(ENGINE) as connection:
            check_current(connection, self.services, self.run_row, alone=True)
            self.notes.write(connection)
            executions.advance(connection, self.run_id, self.run_row.execution, segment, now)

    def _failed(self, failed: StepFailed) -> Outcome:
        """Wait and try the step again, as its policy says, or end the run."""
        now, wait = self.services.clock(), failed.wait(self.random.random())
        attempt = failed.attempt(now, wait)
        with self.services.database.transaction(ENGINE) as connection:
            check_current(connection, self.services, self.run_row, alone=True)
            self.notes.write(connection)
            record_attempt(connection, self.run_id, failed.step_key, attempt)
            if wait is not None:
                until = now + wait
                executions.await_until(connection, self.run_id, self.run_row.execution, until, now)
        if wait is None:
            return fail_run(self.services, self.run_row, failed.step_key, failed.error, self.index)
        fields = {"run_id": str(self.run_id), "step": failed.step_key, "code": failed.error.code}
        logger.warning("step waits", extra=fields)
        return Outcome(Next.RETRY, self.index, wait_seconds=wait.total_seconds())


def _overdue(workflow: Workflow) -> TimedOut:
    return TimedOut(
        f"The run was not done within its timeout of {workflow.timeout}. Nothing that was posted is lost; "
        "raise the timeout or find out what is slow, then start the run again."
    )


def _unexpected(exc: Exception) -> InternalError:
    """A fault of ours, without its message: that may quote record values."""
    return InternalError(f"The run stopped with an unexpected {type(exc).__name__}; see the log.")
