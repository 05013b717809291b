"""What an operator's action would do to a run, step by step and in counts. It only reads.

Counts come from the posting ledger and the tasks of the run as they are now. They hold as long as the sources
still deliver the same records and nobody else works on them meanwhile; where that is all there is to say, a
forecast is not `known`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from commands.approval_forecasts import approval_counts
from commands.chunk_forecasts import DispatchForecast
from commands.courses import CANCEL, OVERDUE, REPLAY, Course, course_of
from commands.deployment import Deployment, StoredCatalogue
from commands.foreseen import ApprovalCounts, ChunkCounts, Counts, Forecast, NestedCounts, StepForecast
from commands.operating import permitted
from commands.write_forecasts import Standing, WriteForecast
from kernel.errors import Conflict
from kernel.verbs import SideEffect, Verb
from store.forecasts import Known, known_of
from store.runs import RunRow, TaskRow
from workflows.actions import Action, Effect
from workflows.model import Push
from workflows.planning import Plan
from workflows.states import PostingState, TaskState


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
    course = course_of(action, effect, known.run, deployment.clock())
    catalogue = StoredCatalogue(deployment)
    steps = [said for task in known.tasks for said in _forecasts(course, known, task, catalogue)]
    nested, approvals = _nested(course, known), approval_counts(course, known)
    said = _summary(course, steps, nested, approvals)
    return Forecast(action, True, said, None, steps, nested, approvals)


def _standing(run: RunRow) -> str:
    return f"asked to {run.requested}" if run.requested else str(run.state)


def _forecasts(
    course: Course, known: Known, task: TaskRow, catalogue: StoredCatalogue
) -> Iterator[StepForecast]:
    step = known.workflow.step(task.step_key)
    if step.dispatch is not None:
        yield from DispatchForecast(course, known, task, step.dispatch, catalogue).forecasts()
    elif step.run is not None:
        yield _nesting(course, task)
    else:
        yield _Step(course, known, task, catalogue).forecast()


def _nesting(course: Course, task: TaskRow) -> StepForecast:
    """A step that runs another workflow: what its run does, the forecast of that run says."""
    said = course.will[task.state]
    will = "stands" if said == "repeats" else said
    known = will in ("stands", "skipped") or not course.goes_on
    return StepForecast(task.step_key, task.verb, task.state, will, known=known)


def _nested(course: Course, known: Known) -> NestedCounts:
    below = known.below
    if course.pauses:
        return NestedCounts(goes_on=below.following + below.leaving)
    return NestedCounts(below.following, below.leaving) if course in (CANCEL, OVERDUE) else NestedCounts()


@dataclass(frozen=True)
class _Step:
    """An atomic step of the run itself."""

    course: Course
    known: Known
    task: TaskRow
    catalogue: StoredCatalogue

    def forecast(self) -> StepForecast:
        task, will = self.task, self._will()
        said = StepForecast(task.step_key, task.verb, task.state, will)
        push = self.known.workflow.step(task.step_key).push
        if push is None or will == "skipped":
            return said
        counts = self._counts(push, will)
        return StepForecast(task.step_key, task.verb, task.state, will, counts, self._is_known(will, counts))

    def _will(self) -> str:
        verb, said = Verb(self.task.verb), self.course.will[self.task.state]
        if said == "goes_on" and verb.side_effect is not SideEffect.WRITE:
            return "repeats"
        if said == "repeats" and (verb is Verb.LOGIC_GATE or verb.side_effect is SideEffect.WRITE):
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

    def _counts(self, push: Push, will: str) -> Counts:
        standing = Standing(self._rows, self._said("already_posted"), self._elsewhere())
        said = WriteForecast.of(self.course, self.known.run.state, push, self.catalogue)
        if not self.course.goes_on:
            return Counts() if self.task.state is TaskState.SUCCEEDED else said.stopping(standing)
        return standing.confirmed if will == "stands" else said.going(standing)

    def _is_known(self, will: str, counts: Counts) -> bool:
        if will == "stands" or not self.course.goes_on:
            return True
        taken_up = self.course is REPLAY and self.known.repaired.get(self.task.step_key, 0)
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
_CHUNKS: Mapping[str, str] = MappingProxyType(
    {
        "runs": "runs {:,} chunks of {!r}",
        "waits": "{:,} chunks of {!r} wait",
        "ends": "{:,} chunks of {!r} end",
        "stands": "{:,} chunks of {!r} stand",
    }
)


def _summary(
    course: Course, steps: Iterable[StepForecast], nested: NestedCounts, approvals: ApprovalCounts
) -> str:
    """One sentence for people: "posts 14, skips 1,986 confirmed, looks up 3 in doubt"."""
    steps = list(steps)
    total = sum((step.counts for step in steps), Counts())
    said = [text.format(count) for name, text in _PHRASES.items() if (count := getattr(total, name))]
    said += [part for step in steps if step.chunks for part in _of_chunks(step.step, step.chunks)]
    said += [*_of_nested(nested), *approvals.words()]
    said += _unknown(steps)
    return f"{course.opening}: {', '.join(said) or 'posts nothing'}."


def _of_chunks(step: str, chunks: ChunkCounts) -> Iterator[str]:
    for name, text in _CHUNKS.items():
        if count := getattr(chunks, name):
            yield text.format(count, step)


def _of_nested(nested: NestedCounts) -> Iterator[str]:
    if nested.ends:
        yield f"{nested.ends:,} nested runs end too"
    if nested.goes_on:
        yield f"{nested.goes_on:,} nested runs go on"


def _unknown(steps: Iterable[StepForecast]) -> Iterator[str]:
    for step in steps:
        if step.known:
            continue
        if step.verb == "run":
            yield f"{step.step!r} takes up or starts a nested run, which has a forecast of its own"
        elif step.chunks is not None:
            yield f"{step.step!r} reads its records again, and what their chunks do may be more"
        else:
            whatever = "whatever else" if step.counts != Counts() else "whatever"
            yield f"{step.step!r} reads again, then posts {whatever} is not posted yet"
