"""What an operator's action would do to the chunks of a dispatch, and to the records that they write."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from commands.courses import Course
from commands.deployment import StoredCatalogue
from commands.foreseen import ChunkCounts, Counts, StepForecast
from commands.write_forecasts import Standing, WriteForecast
from store.chunks import UNFINISHED
from store.forecasts import Known
from store.runs import TaskRow
from workflows.model import Dispatch, Push, Step
from workflows.states import PostingState, TaskState

_NOT_OVER = (*UNFINISHED, TaskState.FAILED)


@dataclass(frozen=True)
class DispatchForecast:
    """A dispatch of a run that takes a course."""

    course: Course
    known: Known
    task: TaskRow
    part: Dispatch
    catalogue: StoredCatalogue

    def forecasts(self) -> Iterator[StepForecast]:
        """What becomes of the dispatch and, for each write inside, of its records."""
        state, will = self.task.state, self._will
        chunks = self._chunks()
        yield StepForecast(
            self.task.step_key, self.task.verb, state, will, Counts(), self._is_known(chunks), chunks
        )
        if will != "skipped":
            for step in self.part.steps:
                if step.push is not None:
                    yield self._write(step, step.push)

    @property
    def _will(self) -> str:
        will = self.course.will[self.task.state]
        return "stands" if will == "repeats" else will

    @property
    def _is_done(self) -> bool:
        return self._will in ("stands", "skipped")

    @property
    def _is_planned(self) -> bool:
        """Whether all chunks are there."""
        return bool((self.task.planning or {}).get("complete", False))

    @property
    def _active(self) -> Collection[TaskState]:
        """States of the chunks that the action concerns."""
        if self._is_done:
            return ()
        if self.course.anew:
            return frozenset(TaskState) - {TaskState.SKIPPED}
        plans_again = self.course.repeats_all or not self._is_planned
        again = (TaskState.FAILED,) if self.course.goes_on and plans_again else ()
        return (*UNFINISHED, *again)

    def _chunks(self) -> ChunkCounts:
        states = self.known.chunks.get(self.task.step_key, Counter())
        concerned = sum(states[state] for state in self._active)
        rest = 0 if self.course.anew else states.total() - concerned
        name = "runs" if self.course.goes_on else "waits" if self.course.pauses else "ends"
        return ChunkCounts(**{name: concerned, "stands": rest})

    def _is_known(self, chunks: ChunkCounts) -> bool:
        if self._is_done or not self.course.goes_on:
            return True
        return self._is_planned and not (self.part.workflow is not None and chunks.runs)

    def _write(self, step: Step, push: Push) -> StepForecast:
        said = WriteForecast.of(self.course, self.known.run.state, push, self.catalogue)
        if self.course.goes_on:
            counts, known = self._going(step, push, said)
        else:
            counts, known = said.stopping(self._standing(step, () if self._is_done else _NOT_OVER)), True
        return StepForecast(step.key, step.kind, self.task.state, self._will, counts, known)

    def _going(self, step: Step, push: Push, said: WriteForecast) -> tuple[Counts, bool]:
        fresh, sure = self._fresh(step, push)
        rest = () if self.course.anew else frozenset(TaskState).difference(self._active)
        stays = self._standing(step, rest).confirmed
        counts = said.going(self._standing(step, self._active)) + stays + Counts(posts=fresh)
        return counts, self._is_done or (sure and self._is_planned and not counts.elsewhere)

    def _standing(self, step: Step, states: Collection[TaskState]) -> Standing:
        """How the records of chunks in these states stand."""
        written = self.known.written.get(step.key, {})
        chosen = [written[state] for state in states if state in written]
        rows = sum((one.rows for one in chosen), Counter[PostingState]())
        return Standing(rows, sum(one.already_posted for one in chosen), sum(one.elsewhere for one in chosen))

    def _fresh(self, step: Step, push: Push) -> tuple[int, bool]:
        """How many records chunks post that have not come to the write yet, and whether that is sure: it is
        where each writes its own record whatever happens. A chunk that ended well without came to a gate."""
        written = self.known.written.get(step.key, {})
        coming = frozenset(self._active) - {TaskState.SUCCEEDED, TaskState.SKIPPED}
        chosen = [one for state, one in written.items() if state in coming]
        fresh, unclaimed = sum(one.fresh for one in chosen), sum(one.unclaimed for one in chosen)
        gated = any(other.logic_gate for other in self.part.steps)
        own = push.records == "chunk" and not gated
        return (fresh if own else 0), not unclaimed and (own or not fresh)
