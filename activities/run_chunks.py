"""Runs the steps of chunks: each with a context, tasks, postings and an outcome of its own.

The chunks of one activity go through the steps side by side, so that what is written down about them is
written together; a chunk that fails or waits leaves the others to go on.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from activities.asked import Asked
from activities.at_work import AtWork
from activities.chunk_lanes import Lane, Lanes
from activities.contract import ChunksInput, ChunksOutcome, Then
from activities.finishing import failure_of
from activities.interruption import Interrupted
from activities.nested_chunk import run_nested_chunk
from activities.services import ENGINE, Services
from kernel.errors import InternalError, NotFound, Poison, Unavailable
from store import chunk_tasks, chunks, runs
from store.chunk_pages import PagePlace
from store.chunk_tasks import StepPlace
from store.chunks import ChunkEnd, ChunkRow
from store.runs import Signal
from workflows.states import TaskState
from workflows.tolerance import parse_tolerance

SHORT_WAIT_SECONDS = 60.0
"""Chunks wait so long by themselves; for longer the run waits, which hears at once what is asked of it."""


def run_chunks(services: Services, given: ChunksInput) -> ChunksOutcome:
    """Work on chunks of a page; may run twice at any point. Calls for single chunks of the same dispatch may
    go together.

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
    asked = Asked(page, [position for position in given.chosen() if position < len(page.numbers)])
    if given.count > 1 or given.alone or work.dispatch.workflow is not None:
        return _Chunks(services, work, [asked]).run()[0][0]
    key = (run_id, given.run_execution, given.step)
    return services.companions.run(key, asked, lambda several: _Chunks(services, work, several).run())


@dataclass(frozen=True)
class _Chunks:
    """Chunks that several calls ask for."""

    services: Services
    work: AtWork
    asked: Sequence[Asked]

    def run(self) -> tuple[list[ChunksOutcome], float]:
        """What has come of the chunks of each call, and how many seconds connected systems took for that."""
        now = self.services.clock()
        begun = self._begun(now)
        if isinstance(begun, Then):
            return [ChunksOutcome(begun, tuple(one.positions)) for one in self.asked], 0.0
        try:
            if self.work.dispatch.workflow is not None:
                return [run_nested_chunk(self.services, self.work, self._lane(begun[0], {}))], 0.0
            lanes = Lanes(self.services, self.work, self._lanes(begun, now))
            waiting = lanes.run()
            return [self._outcome(one, waiting) for one in self.asked], lanes.outside_seconds
        except Interrupted as exc:
            self._stop(begun, exc.signal)
            return [ChunksOutcome(Then.STOPPED) for _ in self.asked], 0.0
        except Unavailable:
            self._forgive(begun)
            raise

    def _begun(self, now: datetime) -> list[ChunkRow] | Then:
        """Begin the chunks that have not ended, unless the run or the dispatch is to stop."""
        run, step = self.work.run, self.work.step
        numbers = [number for one in self.asked for number in one.numbers()]
        with self.services.database.transaction(ENGINE, swift=True) as connection:
            if runs.signal(connection, run.id, run.execution, now) is not Signal.GO or self._halted(
                connection
            ):
                return Then.STOPPED
            begun = chunks.begin_chunks(connection, run.id, step.key, numbers, now)
            deadly = [chunk for chunk in begun if chunk.starts > self.services.max_recoveries + 1]
            chunks.finish_chunks(connection, [self._poisoned(chunk) for chunk in deadly], now)
            left = [chunk for chunk in begun if chunk not in deadly]
            if len(left) == 1 or all(chunk.starts == 1 for chunk in left):
                self._begin_first_step(connection, left)
        if not left:
            return Then.DONE
        # One of several that have died together may kill the others again.
        return Then.ALONE if len(left) > 1 and any(chunk.starts > 1 for chunk in left) else left

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

    def _lanes(self, begun: Sequence[ChunkRow], now: datetime) -> list[Lane]:
        again = [chunk.id for chunk in begun if chunk.attempt > 1 or chunk.started_at != now]
        found = {}
        if again:
            with self.services.database.reading() as connection:
                found = chunk_tasks.tasks_of(connection, self.work.run.id, again)
        return [self._lane(chunk, found.get(chunk.id, {})) for chunk in begun]

    def _lane(self, chunk: ChunkRow, tasks: dict[str, runs.TaskRow]) -> Lane:
        asked = next(one for one in self.asked if chunk.number in one.numbers())
        return Lane.of(self.work, asked.page, asked.position(chunk.number), chunk, tasks)

    def _outcome(self, asked: Asked, waiting: Mapping[int, timedelta]) -> ChunksOutcome:
        """By the chunks that wait, and for how long."""
        seconds = {
            asked.position(number): wait.total_seconds()
            for number, wait in waiting.items()
            if number in asked.numbers() and wait.total_seconds() <= SHORT_WAIT_SECONDS
        }
        if not seconds:
            return ChunksOutcome(Then.DONE)
        return ChunksOutcome(Then.AGAIN, tuple(seconds), max(*seconds.values(), 0.001))

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
