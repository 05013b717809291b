"""DISPATCH: records into chunks, and what has become of them all. Others run the chunks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activities.approving import unapproved
from activities.chunk_planning import Planning, plan_chunks
from activities.contract import Next, Outcome, Pages
from activities.work import Result, Work
from kernel.errors import ChunksFailed, Fault
from store import chunk_totals, chunks
from store.chunks import ChunkRow, Unfinished
from store.runs import get_task
from workflows.context import StepOutput
from workflows.model import YIELDING, Dispatch, Step
from workflows.states import TaskState
from workflows.tolerance import parse_tolerance

LEAST_PAGE = 50
"""Chunks of one page, unless more of them share an activity: few enough for a short history."""
SHOWN_CHUNKS = 20


def dispatch(work: Work, part: Dispatch) -> Result:
    """Plan the chunks, or say what is left of them; when nothing is, the step's result.

    Raises `ChunksFailed` when more of them have failed than are tolerated.
    """
    with work.services.database.reading() as connection:
        planning = Planning.of(get_task(connection, work.run.id, work.step.key), work.run.execution)
    if not planning.complete:
        asks = unapproved(work)
        if asks is not None:
            return Result(asks=asks)
        planning = plan_chunks(work, part, planning, page_size(part))
        if not planning.complete:
            return Result(unfinished=True)
    return _Dispatched(work, part, planning).result()


def page_size(part: Dispatch) -> int:
    """How many chunks one page has."""
    return max(LEAST_PAGE, part.batch)


@dataclass(frozen=True)
class _Dispatched:
    """Chunks that are planned."""

    work: Work
    part: Dispatch
    planning: Planning

    def result(self) -> Result:
        run_id, step = self.work.run.id, self.work.step.key
        with self.work.services.database.reading() as connection:
            left = chunks.unfinished(connection, run_id, step)
            failed = chunks.failed_chunks(connection, run_id, step, SHOWN_CHUNKS)
            counts = chunks.count_chunks(connection, run_id, step)
        tolerated = parse_tolerance(self.part.tolerate, counts.total())
        too_many = counts[TaskState.FAILED] > tolerated
        if left.count and not (too_many and self.part.on_failure == "stop"):
            return Result(meanwhile=self._meanwhile(left, self.work.services.clock()))
        if too_many:
            raise _chunks_failed(self.work, counts[TaskState.FAILED], counts.total(), tolerated, failed)
        return self._finished(counts)

    def _meanwhile(self, left: Unfinished, now: datetime) -> Outcome:
        if left.wake_at is not None and left.wake_at > now:
            return Outcome(Next.RETRY, wait_seconds=(left.wake_at - now).total_seconds())
        pages = Pages(
            self.work.step.key, self.planning.execution, left.first_page, self.planning.pages - 1,
            page_size(self.part), self.part.batch, self.part.concurrency,
        )  # fmt: skip
        return Outcome(Next.DISPATCH, pages=pages)

    def _finished(self, counts: dict[TaskState, int]) -> Result:
        measuring = {step.key: step for step in self.part.steps if step.kind in YIELDING}
        with self.work.services.database.reading() as connection:
            found = chunk_totals.measures(connection, self.work.run.id, measuring)
        measured = {key: _nothing(step) | found.get(key, {}) for key, step in measuring.items()}
        told = {name: counts[state] for name, state in _TOLD.items()}
        read = {name: {"total": value, "rejected": 0} for name, value in self.planning.measures.items()}
        own = _nothing(self.work.step) | read
        own["records"] = {"total": self.planning.read, "rejected": self.planning.rejected}
        shown = {"records": self.planning.read, "rejected": self.planning.rejected, **told}
        values: dict[str, Any] = {**told, **measured}
        accepted = {name: parts["total"] - parts["rejected"] for name, parts in own.items()}
        return Result(StepOutput({**accepted, **values}), shown, {**own, **values})


_TOLD = {"succeeded": TaskState.SUCCEEDED, "failed": TaskState.FAILED, "skipped": TaskState.SKIPPED}


def _nothing(step: Step) -> dict[str, dict[str, Any]]:
    """Every measure of a step that had no records: expressions may read it all the same."""
    return {name: {"total": 0, "rejected": 0} for name in ("records", *step.measures)}


def _chunks_failed(
    work: Work, failed: int, total: int, tolerated: int, first: list[ChunkRow]
) -> ChunksFailed:
    faults = [_fault(chunk) for chunk in first]
    return ChunksFailed(
        f"{failed:,} of {total:,} chunks of {work.step.key!r} failed; {tolerated:,} are tolerated. Look at "
        "their failures, then retry the run: what is done stays done.",
        faults=faults,
    )


def _fault(chunk: ChunkRow) -> Fault:
    failure = chunk.failure or {}
    named = ", ".join(f"{name} {value}" for name, value in chunk.shown.items())
    said = f"Chunk {chunk.number} ({named}): {failure.get('message', 'it failed.')}"
    return Fault("chunk_failed", said)
