"""Runs the steps of chunks: each with a context, tasks, postings and an outcome of its own.

The chunks of one activity go through the steps side by side, so that what is written down about them is
written together; a chunk that fails or waits leaves the others to go on.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from activities.at_work import AtWork
from activities.chunk_lanes import Lane, Lanes
from activities.contract import ChunksInput, ChunksOutcome, Then
from activities.finishing import failure_of
from activities.interruption import Interrupted
from activities.nested_chunk import run_nested_chunk
from activities.services import ENGINE, Services
from kernel.errors import InternalError, NotFound, Poison, Unavailable
from store import chunk_tasks, chunks, runs
from store.chunk_pages import ChunkPage, PagePlace
from store.chunk_tasks import StepPlace
from store.chunks import ChunkEnd, ChunkRow
from store.runs import Signal
from workflows.states import TaskState
from workflows.tolerance import parse_tolerance


def run_chunks(services: Services, given: ChunksInput) -> ChunksOutcome:
    """Work on chunks of a page; may run twice at any point.

    Raises `NotFound` when there is no such run, and `Unavailable` when our own database or storage does not
    answer. What is wrong with a chunk is written down with it.
    """
    run_id = UUID(given.run_id)
    work = services.at_work.of(
        services.database, services.definitions, run_id, given.run_execution, given.step
    )
    if work is None:
        return ChunksOutcome(Then.STOPPED)
    place = PagePlace(run_id, given.execution, given.step, given.page)
    try:
        page = services.contexts.pages.read(services.database, place)
    except (NotFound, InternalError):
        return _without_page(services, work, place)
    positions = [position for position in given.chosen() if position < len(page.numbers)]
    return _Chunks(services, work, page, positions).run()


@dataclass(frozen=True)
class _Chunks:
    """Some chunks of a page."""

    services: Services
    work: AtWork
    page: ChunkPage
    positions: Sequence[int]

    def run(self) -> ChunksOutcome:
        now = self.services.clock()
        begun = self._begun(now)
        if isinstance(begun, ChunksOutcome):
            return begun
        try:
            if self.work.dispatch.workflow is not None:
                return run_nested_chunk(self.services, self.work, self._lane(begun[0], {}))
            return Lanes(self.services, self.work, self._lanes(begun, now)).run()
        except Interrupted as exc:
            self._stop(begun, exc.signal)
            return ChunksOutcome(Then.STOPPED)
        except Unavailable:
            self._forgive(begun)
            raise

    def _begun(self, now: datetime) -> list[ChunkRow] | ChunksOutcome:
        """Begin the chunks that have not ended, unless the run or the dispatch is to stop."""
        run, step = self.work.run, self.work.step
        numbers = [self.page.numbers[position] for position in self.positions]
        with self.services.database.transaction(ENGINE) as connection:
            if runs.signal(connection, run.id, run.execution, now) is not Signal.GO or self._halted(
                connection
            ):
                return ChunksOutcome(Then.STOPPED)
            begun = chunks.begin_chunks(connection, run.id, step.key, numbers, now)
            deadly = [chunk for chunk in begun if chunk.starts > self.services.max_recoveries + 1]
            chunks.finish_chunks(connection, [self._poisoned(chunk) for chunk in deadly], now)
            left = [chunk for chunk in begun if chunk not in deadly]
            if len(left) == 1 or all(chunk.starts == 1 for chunk in left):
                self._begin_first_step(connection, left)
        if not left:
            return ChunksOutcome(Then.DONE)
        if len(left) > 1 and any(chunk.starts > 1 for chunk in left):  # one of them may kill the others
            return ChunksOutcome(Then.ALONE, tuple(self._position(chunk) for chunk in left))
        return left

    def _begin_first_step(self, connection: Connection, begun: Sequence[ChunkRow]) -> None:
        steps = self.work.dispatch.steps
        if steps and begun:
            place = StepPlace(self.work.run.id, steps[0].key, 0, steps[0].kind)
            ids = [chunk.id for chunk in begun]
            chunk_tasks.begin_tasks(connection, place, ids, self.services.clock())

    def _halted(self, connection: Connection) -> bool:
        """Whether more chunks have failed than are tolerated, where that stops the dispatch."""
        part, run, key = self.work.dispatch, self.work.run, self.work.step.key
        if part.on_failure != "stop":
            return False
        failed = chunks.count_failed(connection, run.id, key)
        if not failed:
            return False
        return failed > parse_tolerance(part.tolerate, chunks.count_chunks(connection, run.id, key).total())

    def _poisoned(self, chunk: ChunkRow) -> ChunkEnd:
        error = Poison(
            f"The worker died {chunk.starts - 1} times in a row while it ran this chunk. Look at memory and "
            "time limits and at the size of what its steps read, then retry the run."
        )
        return ChunkEnd(chunk.id, TaskState.FAILED, failure_of(None, error))

    def _position(self, chunk: ChunkRow) -> int:
        return self.page.numbers.index(chunk.number)

    def _lanes(self, begun: Sequence[ChunkRow], now: datetime) -> list[Lane]:
        again = [chunk.id for chunk in begun if chunk.attempt > 1 or chunk.started_at != now]
        found = {}
        if again:
            with self.services.database.reading() as connection:
                found = chunk_tasks.tasks_of(connection, self.work.run.id, again)
        return [self._lane(chunk, found.get(chunk.id, {})) for chunk in begun]

    def _lane(self, chunk: ChunkRow, tasks: dict[str, runs.TaskRow]) -> Lane:
        position = self._position(chunk)
        return Lane.of(self.work, self.page, position, chunk, tasks)

    def _stop(self, begun: Sequence[ChunkRow], signal: Signal) -> None:
        """Chunks of a paused run are paused; otherwise whatever ends the run ends them."""
        if signal is Signal.PAUSE:
            with self.services.database.transaction(ENGINE) as connection:
                chunks.suspend_chunks(connection, [chunk.id for chunk in begun])

    def _forgive(self, begun: Sequence[ChunkRow]) -> None:
        """Our own services were away; that does not count against the chunks."""
        with suppress(Unavailable), self.services.database.transaction(ENGINE) as connection:
            chunks.forgive_starts(connection, [chunk.id for chunk in begun])


def _without_page(services: Services, work: AtWork, place: PagePlace) -> ChunksOutcome:
    """The records are gone: with the run that has ended, or somebody has deleted them."""
    now = services.clock()
    error = InternalError("The chunk's record is not there any more; retry the run to read it again.")
    with services.database.transaction(ENGINE) as connection:
        signal = runs.signal(connection, work.run.id, work.run.execution, now)
        if signal is Signal.GO:
            numbers = chunks.numbers_of_page(
                connection, work.run.id, place.step_key, place.execution, place.page
            )
            begun = chunks.begin_chunks(connection, work.run.id, place.step_key, numbers, now)
            failure = failure_of(None, error)
            chunks.finish_chunks(
                connection, [ChunkEnd(one.id, TaskState.FAILED, failure) for one in begun], now
            )
    return ChunksOutcome(Then.DONE if signal is Signal.GO else Then.STOPPED)
