"""Chunks side by side through the steps of their dispatch."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from activities.approving import Asks, ask, keep_lines, settled
from activities.at_work import AtWork
from activities.finishing import failure_of
from activities.hearing import Hearing
from activities.interruption import check_going
from activities.notes import Notes
from activities.services import ENGINE, Services
from activities.step import StepFailed, deadline_of, execute, failing, plain_measures, standing
from activities.verbs.consignment import Undone
from activities.verbs.push import push_together
from activities.work import CHUNK, Result, Work
from kernel.ids import new_id
from kernel.records import Records
from kernel.verbs import SideEffect, Verb
from store import chunk_tasks, chunks
from store.chunk_pages import ChunkPage
from store.chunk_tasks import StepPlace, TaskEnd
from store.chunks import ChunkEnd, ChunkRow
from store.gates import Slot
from store.runs import TaskRow
from workflows.context import PipelineContext, StepOutput
from workflows.model import Step
from workflows.states import TaskState


@dataclass
class Lane:
    """One chunk on its way: its context, the tasks that an earlier time has left, steps that a gate skips,
    and how it has ended, for how long it waits, or what people are to be asked."""

    chunk: ChunkRow
    position: int
    context: PipelineContext
    tasks: dict[str, TaskRow]
    bypassed: set[str] = field(default_factory=set)
    end: ChunkEnd | None = None
    wait: timedelta | None = None
    asks: Asks | None = None

    @classmethod
    def of(
        cls, work: AtWork, page: ChunkPage, position: int, chunk: ChunkRow, tasks: dict[str, TaskRow]
    ) -> "Lane":
        """The lane of a chunk whose record is at a position of a page."""
        record = Records(page.records.columns, [page.records.rows[position]])
        outputs = {**work.measured, CHUNK: StepOutput({}, record, page.sensitive)}
        return cls(chunk, position, PipelineContext(outputs), tasks)

    def goes_on(self, step_key: str) -> bool:
        """Whether the step is to be done."""
        going = self.end is None and self.wait is None and self.asks is None
        return going and step_key not in self.bypassed

    def task(self, step: Step, run_id: UUID, position: int) -> TaskRow:
        """The step's task, as it was before, or a new one."""
        return self.tasks.get(step.key) or TaskRow(
            self.chunk.id, run_id, self.chunk.id, step.key, position, step.kind, TaskState.PENDING, 1,
            None, None, None, None, None, [], None, None,
        )  # fmt: skip


class Lanes:
    """The chunks of one activity. What is found out is written down with the next commit before an effect."""

    def __init__(self, services: Services, work: AtWork, lanes: Sequence[Lane]) -> None:
        self._services = services
        self._at = work
        self._lanes = lanes
        self._notes = Notes()
        self._hearing = Hearing()
        self._slots: list[Slot] = []
        self._token = new_id()
        self._random = random.Random(self._token.int)  # noqa: S311 - spreads waits, nothing secret

    @property
    def outside_seconds(self) -> float:
        """How long connected systems were waited for."""
        return self._hearing.seconds

    def run(self) -> dict[int, timedelta]:
        """Take the chunks through all steps; returns for how long which of them wait, by number.

        Raises `Unavailable`, and `Interrupted` if the run is to stop.
        """
        try:
            for number, step in enumerate(self._at.dispatch.steps):
                lanes = [lane for lane in self._lanes if lane.goes_on(step.key)]
                if lanes:
                    self._step(number, step, lanes)
            return self._finish()
        finally:
            for lane in self._lanes:
                lane.context.close()

    def _step(self, number: int, step: Step, lanes: Sequence[Lane]) -> None:
        place = StepPlace(self._at.run.id, step.key, number, step.kind)
        going = []
        for lane in lanes:
            work = self._work(lane, step, number)
            task = lane.task(step, self._at.run.id, number)
            try:
                with failing(work, task):
                    done = standing(work, task)
            except StepFailed as exc:
                self._failed(place, lane, exc)
                continue
            if done is None:
                going.append((lane, work, task))
            else:
                self._take(lane, step, done)
        if going:
            self._begin(place, [lane for lane, _, _ in going])
            self._execute(place, going)

    def _begin(self, place: StepPlace, lanes: Sequence[Lane]) -> None:
        ids = [lane.chunk.id for lane in lanes]
        if place.position:  # the first step began with the chunks
            now = self._services.clock()
            self._notes.add(lambda connection: chunk_tasks.begin_tasks(connection, place, ids, now))
            if Verb(place.verb).side_effect is SideEffect.READ:
                self._commit()

    def _execute(self, place: StepPlace, going: Sequence[tuple[Lane, Work, TaskRow]]) -> None:
        step, works = going[0][1].step, [work for _, work, _ in going]
        posted: Sequence[Result | Undone] = []
        if step.push is not None:
            posted = push_together(works, step.push)
        ends = []
        voiding = False
        for at, (lane, work, task) in enumerate(going):
            outcome = posted[at] if posted else None
            try:
                with failing(work, task):
                    if isinstance(outcome, Undone):
                        raise outcome.error
                    result = execute(work) if outcome is None else outcome
            except StepFailed as exc:
                self._failed(place, lane, exc, outcome if isinstance(outcome, Undone) else None)
                continue
            if result.unfinished:
                lane.wait = timedelta(0)
                continue
            if result.asks is not None and result.asks.waits:
                lane.asks = result.asks
                continue
            if result.asks is not None:
                self._notes.add(partial(settled, work=work, asks=result.asks, now=self._services.clock()))
                voiding |= bool(result.asks.voided)
            self._take(lane, step, result)
            measures = plain_measures(result.measures)
            ends.append(
                TaskEnd(
                    lane.chunk.id, TaskState.SUCCEEDED, result.counts, measures, None, result.batch_digest
                )
            )
        self._note_ends(place, ends)
        if voiding:  # the write after it looks them up
            self._commit(alone=True)

    def _take(self, lane: Lane, step: Step, result: Result) -> None:
        if result.output is not None:
            lane.context.put(step.key, result.output)
        if result.jump is not None:
            keys = [one.key for one in self._at.dispatch.steps]
            stop = len(keys) if result.jump == "end" else keys.index(result.jump)
            lane.bypassed |= set(keys[keys.index(step.key) + 1 : stop])

    def _failed(self, place: StepPlace, lane: Lane, failed: StepFailed, undone: Undone | None = None) -> None:
        """The chunk waits and tries the step again, as its policy says, or has failed."""
        now, wait = self._services.clock(), failed.wait(self._random.random())
        attempt, failure = failed.attempt(now, wait), failure_of(place.step_key, failed.error)
        counts, measures = undone.standing(final=wait is None) if undone is not None else (None, None)
        if wait is not None:
            lane.wait = wait
            end = TaskEnd(lane.chunk.id, TaskState.RUNNING, counts, None, None, None, attempt)
        else:
            lane.end = ChunkEnd(lane.chunk.id, TaskState.FAILED, failure)
            known = None if measures is None else plain_measures(measures)
            end = TaskEnd(lane.chunk.id, TaskState.FAILED, counts, known, failure, None, attempt)
        self._note_ends(place, [end])

    def _note_ends(self, place: StepPlace, ends: Sequence[TaskEnd]) -> None:
        if ends:
            now = self._services.clock()
            self._notes.add(lambda connection: chunk_tasks.end_tasks(connection, place, ends, now))

    def _work(self, lane: Lane, step: Step, number: int) -> Work:
        run, now = self._at.run, self._services.clock()
        deadline = deadline_of(step, lane.task(step, run.id, number), now)
        fresh = not lane.tasks
        return Work(
            self._services, run, self._at.workflow, step, lane.context, self._token, deadline, lane.chunk,
            fresh, self._notes, self._hearing, self._slots,
        )  # fmt: skip

    def _commit(self, *, alone: bool = False) -> None:
        """Write down what is known, unless the run is to stop."""
        with self._services.database.transaction(ENGINE, swift=True) as connection:
            check_going(connection, self._anything(), alone=alone)
            self._notes.write(connection)

    def _anything(self) -> Work:
        return self._work(self._lanes[0], self._at.dispatch.steps[0], 0)

    def _finish(self) -> dict[int, timedelta]:
        now = self._services.clock()
        waiting = [lane for lane in self._lanes if lane.wait is not None]
        for lane in self._lanes:
            if lane.end is None and lane.wait is None and lane.asks is None:
                lane.end = ChunkEnd(lane.chunk.id, TaskState.SUCCEEDED)
        ends = [lane.end for lane in self._lanes if lane.end is not None]
        asking = [lane for lane in self._lanes if lane.asks is not None]
        for lane in asking:
            assert lane.asks is not None
            keep_lines(self._services, self._at.run, lane.asks)
        with self._services.database.transaction(ENGINE, swift=True) as connection:
            check_going(connection, self._anything(), alone=bool(asking))
            self._notes.write(connection)
            chunks.finish_chunks(connection, ends, now)
            for lane in waiting:
                assert lane.wait is not None
                chunks.await_chunks(connection, [lane.chunk.id], now + lane.wait)
            for lane in asking:
                self._ask(connection, lane)
        return {lane.chunk.number: lane.wait for lane in waiting if lane.wait is not None}

    def _ask(self, connection: Connection, lane: Lane) -> None:
        """The chunk waits until people have decided; the others go on."""
        assert lane.asks is not None
        now = self._services.clock()
        step = lane.asks.step
        waiting = ask(connection, self._work(lane, step, 0), lane.asks, now)
        due = min((row.next_at for row in waiting if row.next_at is not None), default=now)
        chunks.hold_chunk(connection, lane.chunk.id, due)
