"""What an operator's action would do to a run, step by step and in counts. It only reads.

Counts come from the posting ledger and the tasks of the run as they are now. They hold as long as the sources
still deliver the same records and nobody else works on them meanwhile; where that is all there is to say, a
forecast is not `known`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from adapters.contract import Idempotency
from commands.deployment import Deployment, StoredCatalogue
from commands.operating import permitted
from kernel.errors import Conflict
from store.forecasts import Known, known_of
from store.runs import RunRow, TaskRow
from workflows.actions import Action, Effect
from workflows.model import Push, Workflow
from workflows.planning import Plan
from workflows.states import PostingState, RunState, TaskState


@dataclass(frozen=True)
class Counts:
    """What happens to records of a write."""

    posts: int = 0
    posts_again: int = 0
    """Refused before."""
    skips_confirmed: int = 0
    looks_up: int = 0
    sends_again: int = 0
    """In doubt, sent under the same key to a system that recognises it."""
    holds: int = 0
    in_flight: int = 0
    """Sent at this moment; their answers are still taken."""
    waits: int = 0
    """Posted when the run is resumed."""
    elsewhere: int = 0
    """In the hands of other runs: skipped once they are confirmed there."""

    def __add__(self, other: "Counts") -> "Counts":
        names = [part.name for part in fields(self)]
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class StepForecast:
    """What becomes of one step. `will` is one word for it; `known` says whether `counts` are all of it."""

    step: str
    verb: str
    state: TaskState
    will: str
    counts: Counts = Counts()
    known: bool = True


@dataclass(frozen=True)
class Forecast:
    """What an action would do, or why it cannot be done."""

    action: Action
    allowed: bool
    summary: str
    why_not: str | None = None
    steps: Sequence[StepForecast] = ()


def forecast(deployment: Deployment, action: Action, run_id: UUID) -> Forecast:
    """What `operate` would do now. Raises `NotFound` when there is no such run."""
    with deployment.database.reading(frozen=True) as connection:
        known = known_of(connection, run_id)
    try:
        effect = permitted(action, known.run)
    except Conflict as exc:
        return Forecast(action, False, "Nothing changes.", exc.message)
    if effect is Effect.NOTHING:
        return Forecast(action, True, f"Nothing changes: the run is {_standing(known.run)} already.")
    course = _course(action, effect, known.run, deployment.clock())
    workflow = Workflow.model_validate(known.version.definition)
    catalogue = StoredCatalogue(deployment)
    steps = [_Step(course, known, task, workflow, catalogue).forecast() for task in known.tasks]
    return Forecast(action, True, _summary(course, steps), None, steps)


def _standing(run: RunRow) -> str:
    return f"asked to {run.requested}" if run.requested else str(run.state)


@dataclass(frozen=True)
class Course:
    """How a run goes on after an action: `will` by the state of a task, and what that means for a write."""

    opening: str
    will: Mapping[TaskState, str]
    goes_on: bool = True
    repeats_all: bool = False
    """All segments, not only the one where the run is."""
    tries_rejected: bool = False
    pauses: bool = False


_GOING = MappingProxyType(
    {
        TaskState.PENDING: "runs",
        TaskState.RUNNING: "goes_on",
        TaskState.SUSPENDED: "goes_on",
        TaskState.FAILED: "goes_on",
        TaskState.SUCCEEDED: "repeats",
        TaskState.SKIPPED: "skipped",
    }
)
_ENDING = MappingProxyType(
    {
        TaskState.PENDING: "ends",
        TaskState.RUNNING: "ends",
        TaskState.SUSPENDED: "ends",
        TaskState.FAILED: "ends",
        TaskState.SUCCEEDED: "stands",
        TaskState.SKIPPED: "skipped",
    }
)
_WAITING = MappingProxyType(
    {**_ENDING, TaskState.PENDING: "waits", TaskState.RUNNING: "waits", TaskState.FAILED: "waits"}
)

_RETRY = Course("The run begins again at its first step", _GOING, repeats_all=True, tries_rejected=True)
_REPLAY = Course(
    "A new run of the same version and inputs begins", dict.fromkeys(TaskState, "runs"),
    repeats_all=True, tries_rejected=True,
)  # fmt: skip
_RESUME = Course("The run goes on where it is", _GOING)
_PAUSE = Course("The run stops before its next effect and waits", _WAITING, goes_on=False, pauses=True)
_CANCEL = Course("The run stops before its next effect and ends CANCELLED", _ENDING, goes_on=False)
_OVERDUE = Course("The run is past its timeout and ends FAILED", _ENDING, goes_on=False)

_COURSES: Mapping[Effect, Course] = MappingProxyType(
    {
        Effect.END: _CANCEL,
        Effect.ROUSE_AND_ASK: _CANCEL,
        Effect.ROUSE: _RESUME,
        Effect.WITHDRAW: _RESUME,
        Effect.BEGIN_AGAIN: _RETRY,
        Effect.COPY: _REPLAY,
    }
)


def _course(action: Action, effect: Effect, run: RunRow, now: datetime) -> Course:
    if effect is Effect.ASK:
        return _PAUSE if action is Action.PAUSE else _CANCEL
    course = _COURSES[effect]
    overdue = run.deadline_at is not None and now >= run.deadline_at
    return _OVERDUE if course is _RESUME and overdue else course


@dataclass(frozen=True)
class _Step:
    course: Course
    known: Known
    task: TaskRow
    workflow: Workflow
    catalogue: StoredCatalogue

    def forecast(self) -> StepForecast:
        task, will = self.task, self._will()
        said = StepForecast(task.step_key, task.verb, task.state, will)
        push = self.workflow.step(task.step_key).push
        if push is None or will == "skipped":
            return said
        counts = self._going(push, will) if self.course.goes_on else self._stopping()
        return StepForecast(task.step_key, task.verb, task.state, will, counts, self._is_known(will, counts))

    def _will(self) -> str:
        step, said = self.workflow.step(self.task.step_key), self.course.will[self.task.state]
        if said == "goes_on" and not step.writes:
            return "repeats"
        if said == "repeats" and (step.logic_gate or step.writes):
            return "stands"
        return "stands" if said == "repeats" and not self._is_repeated() else said

    def _is_repeated(self) -> bool:
        plan = Plan.from_dict(dict(self.known.version.plan))
        return self.course.repeats_all or plan.segment_of(self.task.step_key) >= self.known.run.segment

    @property
    def _rows(self) -> Counter[PostingState]:
        return self.known.postings.get(self.task.step_key, Counter())

    def _said(self, name: str) -> int:
        return (self.task.counts or {}).get(name, 0)

    def _elsewhere(self) -> int:
        """Records that this run has not settled and whose postings are not its own."""
        settled = self._said("already_posted") + max(
            0, self._said("rejected") - self._rows[PostingState.REJECTED]
        )
        return max(0, self._said("records") - self._rows.total() - settled)

    def _going(self, push: Push, will: str) -> Counts:
        rows = self._rows
        confirmed = Counts(skips_confirmed=rows[PostingState.CONFIRMED] + self._said("already_posted"))
        if will == "stands":
            return confirmed
        flying = rows[PostingState.SENT] if self.known.run.state is RunState.RUNNING else 0
        doubtful = rows[PostingState.SENT] + rows[PostingState.IN_DOUBT] - flying
        again = rows[PostingState.REJECTED] if self.course.tries_rejected else 0
        rest = Counts(
            posts=rows[PostingState.INTENDED],
            posts_again=again,
            in_flight=flying,
            elsewhere=self._elsewhere(),
        )
        return confirmed + rest + self._settling(push, doubtful)

    def _settling(self, push: Push, doubtful: int) -> Counts:
        operation = self.catalogue.operations(push.connector).get(push.operation)
        idempotency: Any = getattr(operation, "idempotency", Idempotency.NONE)
        name = {Idempotency.NATIVE: "sends_again", Idempotency.LOOKUP: "looks_up", Idempotency.NONE: "holds"}
        return Counts(**{name[idempotency]: doubtful})

    def _stopping(self) -> Counts:
        if self.task.state is TaskState.SUCCEEDED:
            return Counts()
        rows, running = self._rows, self.known.run.state is RunState.RUNNING
        flying = rows[PostingState.SENT] if running else 0
        left = rows[PostingState.INTENDED] + self._elsewhere()
        doubtful = rows[PostingState.SENT] + rows[PostingState.IN_DOUBT] - flying
        return Counts(
            in_flight=flying,
            waits=left if self.course.pauses else 0,
            holds=doubtful if self.course.pauses else doubtful + left,
        )

    def _is_known(self, will: str, counts: Counts) -> bool:
        if will == "stands" or not self.course.goes_on:
            return True
        taken_up = self.course is _REPLAY and self.known.repaired.get(self.task.step_key, 0)
        return bool(self._rows or self.task.counts) and not counts.elsewhere and not taken_up


_PHRASES: Mapping[str, str] = MappingProxyType(
    {
        "posts": "posts {:,}",
        "posts_again": "posts {:,} again that were rejected",
        "skips_confirmed": "skips {:,} confirmed",
        "looks_up": "looks up {:,} in doubt",
        "sends_again": "sends {:,} in doubt again under the same key",
        "holds": "holds {:,}",
        "in_flight": "finishes {:,} in flight",
        "waits": "{:,} wait for the run to be resumed",
        "elsewhere": "leaves {:,} to other runs that have them, if those post them",
    }
)


def _summary(course: Course, steps: Iterable[StepForecast]) -> str:
    """One sentence for people: "posts 14, skips 1,986 confirmed, looks up 3 in doubt"."""
    steps = list(steps)
    total = sum((step.counts for step in steps), Counts())
    said = [text.format(count) for name, text in _PHRASES.items() if (count := getattr(total, name))]
    said += _unknown(steps)
    return f"{course.opening}: {', '.join(said) or 'posts nothing'}."


def _unknown(steps: Iterable[StepForecast]) -> Iterator[str]:
    for step in steps:
        if not step.known:
            whatever = "whatever else" if step.counts != Counts() else "whatever"
            yield f"{step.step!r} reads again, then posts {whatever} is not posted yet"
