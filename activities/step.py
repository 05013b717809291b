"""Runs one step and records it: begun, succeeded, or failed with what follows from that."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from activities.approving import settled
from activities.beginning import Begun
from activities.interruption import Interrupted, check_going
from activities.notes import Notes
from activities.repairing import repaired
from activities.retrying import pause, retry_delay
from activities.services import ENGINE, Services
from activities.verbs.dispatch import dispatch
from activities.verbs.fetch import fetch, lookup
from activities.verbs.govern import govern
from activities.verbs.logic_gate import logic_gate
from activities.verbs.nested import run_nested
from activities.verbs.push import check_posted, push
from activities.verbs.transform import transform
from activities.work import Result, Work
from kernel.durations import parse_duration
from kernel.errors import InternalError, SluiceError, TimedOut, Unavailable
from kernel.redaction import redact_error
from kernel.traces import trace_of
from kernel.verbs import Verb
from store import runs
from store.attempts import Attempt
from store.runs import TaskRow, task_begun
from workflows.context import PipelineContext
from workflows.model import Step
from workflows.rows import plain
from workflows.states import TaskState, predecessors

logger = logging.getLogger(__name__)

EXECUTORS: Mapping[str, Callable[[Work, Any], Result]] = {
    Verb.FETCH: fetch,
    Verb.LOOKUP: lookup,
    Verb.TRANSFORM: transform,
    Verb.GOVERN: govern,
    Verb.LOGIC_GATE: logic_gate,
    Verb.PUSH: push,
    "dispatch": dispatch,
    "run": run_nested,
}
"""Each takes the work and the step's part of that kind."""
_HEARD_LATER = frozenset({Verb.TRANSFORM, Verb.GOVERN, Verb.LOGIC_GATE, Verb.PUSH})
"""Kinds that begin without a commit: they touch nothing outside, or commit themselves before they do."""


class StepFailed(Exception):
    """A step did not get done. `error` is redacted."""

    def __init__(self, work: Work, task: TaskRow, error: SluiceError) -> None:
        super().__init__(error.code)
        self.step_key = work.step.key
        self.error = error
        self._work, self._task = work, task
        self._before = [one for one in task.attempts if one["execution"] == work.run.execution]

    def wait(self, spread: float) -> timedelta | None:
        """How long to wait before the next attempt, if there is one. A wait that would outlast the step's
        timeout is not begun: the error becomes `TimedOut`."""
        wait = self._delay(spread)
        deadline = self._work.deadline
        if wait is None or deadline is None or self._work.services.clock() + wait < deadline:
            return wait
        self.error = TimedOut(
            f"The step {self.step_key!r} cannot be done within its timeout of {self._work.step.timeout}: "
            f"the next attempt would come too late. {self.error.message}"
        )
        return None

    def attempt(self, now: datetime, wait: timedelta | None) -> Attempt:
        """What to write down about the attempt."""
        number, seconds = max(1, self._task.attempt), wait.total_seconds() if wait is not None else None
        execution, error = self._work.run.execution, self.error
        return Attempt(execution, number, now, error.code, error.message, seconds, error.counted)

    def _delay(self, spread: float) -> timedelta | None:
        """As the policy says; what does not count as a failed attempt is waited for as long as it takes."""
        if not self.error.counted:
            return pause(self.error, sum(one.get("times", 1) for one in self._before if _paused(one)), spread)
        failures = sum(1 for one in self._before if not _paused(one))
        return retry_delay(self._work.step.retry, failures + 1, self.error, spread)


def run_step(
    begun: Begun,
    task: TaskRow,
    context: PipelineContext,
    token: UUID,
    services: Services,
    notes: Notes,
    *,
    heard: bool,
) -> Result:
    """Run a step, unless what an earlier execution did stands. What is to be written down goes to `notes`;
    `heard` tells that the run was asked only now whether it goes on.

    Raises `StepFailed`, `Interrupted` when the run is to stop, and `Unavailable`.
    """
    step, now = begun.workflow.step(task.step_key), services.clock()
    work = Work(
        services, begun.run, begun.workflow, step, context, token, deadline_of(step, task, now),
        fresh=not task.attempt, notes=notes,
    )  # fmt: skip
    with failing(work, task):
        done = standing(work, task)
    if done is not None:
        return done
    task = _begun(work, task, now, heard)
    with failing(work, task):
        work.check_time()
        result = repaired(work) or execute(work)
    if result.done:
        _succeeded(work, result)
    return result


def _begun(work: Work, task: TaskRow, now: datetime, heard: bool) -> TaskRow:
    """The task as it is when the step has begun. Before anything outside is asked, that is written down, and
    the run says whether it goes on."""
    if task.state in predecessors(TaskState.RUNNING):
        work.notes.add(lambda connection: runs.begin_task(connection, work.run.id, work.step.key, now))
        task = task_begun(task, now)
    if work.step.kind not in _HEARD_LATER and (work.notes or not heard):
        with work.services.database.transaction(ENGINE) as connection:
            check_going(connection, work)
            work.notes.write(connection)
    return task


def execute(work: Work) -> Result:
    """Do what the step says."""
    kind = work.step.kind
    return EXECUTORS[kind](work, getattr(work.step, kind))


@contextmanager
def failing(work: Work, task: TaskRow) -> Iterator[None]:
    """What goes wrong is the step's failure, redacted; but for our own services and the wish to stop."""
    try:
        yield
    except (Unavailable, Interrupted):
        raise
    except SluiceError as exc:
        raise StepFailed(work, task, redact_error(exc, _sensitive(work))) from exc
    except Exception as exc:  # a fault of ours, or of a vendor's library, ends the step and not the worker
        fields = {"run_id": str(work.run.id), "step": work.step.key}
        logger.error("step failed: %s", trace_of(exc), extra=fields)
        raise StepFailed(work, task, _unexpected(exc)) from exc


def _succeeded(work: Work, result: Result) -> None:
    if result.output is not None:
        work.context.put(work.step.key, result.output)
    measures = plain_measures(result.measures)
    place, now = (work.run.id, work.step.key), work.services.clock()
    if (asks := result.asks) is not None:
        work.notes.add(lambda connection: settled(connection, work, asks, now))
    work.notes.add(
        lambda connection: runs.succeed_task(connection, *place, now, dict(result.counts), measures)
    )
    if asks is not None and asks.voided:  # the write after it looks them up
        with work.services.database.transaction(ENGINE) as connection:
            check_going(connection, work, alone=True)
            work.notes.write(connection)


def standing(work: Work, task: TaskRow) -> Result | None:
    """What stands from an earlier execution: a write is never repeated, and a gate decides once. Reads and
    pure steps are repeated, to have their records again, and policies, because records may have changed; if
    they have, a write that stands ends the run, because what comes after it would go with other records."""
    step = work.step
    if task.state is not TaskState.SUCCEEDED:
        return None
    if step.logic_gate:
        return Result(jump=None if (task.counts or {})["open"] else step.logic_gate.otherwise)
    if step.push:
        check_posted(work, step.push, task)
    return Result() if step.writes else None


def deadline_of(step: Step, task: TaskRow, now: datetime) -> datetime | None:
    """From when the step first began; a read that is repeated begins anew."""
    if step.timeout is None:
        return None
    began = task.started_at if task.state is TaskState.RUNNING and task.started_at else now
    return began + parse_duration(step.timeout)


def _paused(attempt: Mapping[str, Any]) -> bool:
    return not attempt.get("counted", True)


def _unexpected(exc: Exception) -> InternalError:
    """A fault of ours, without its message: that may quote record values."""
    return InternalError(f"The step stopped with an unexpected {type(exc).__name__}; see the log.")


def _sensitive(work: Work) -> frozenset[str]:
    """The step's own sensitive fields and those of everything before it."""
    before = (output.sensitive for output in work.context.outputs().values())
    return frozenset(work.step.sensitive).union(*before)


def plain_measures(measures: Mapping[str, Any]) -> dict[str, Any]:
    """The measures as they are stored."""
    return {name: _plain_map(parts) for name, parts in measures.items()}


def _plain_map(parts: Any) -> Any:
    if isinstance(parts, Mapping):
        return {name: _plain_map(value) for name, value in parts.items()}
    return plain(parts)
