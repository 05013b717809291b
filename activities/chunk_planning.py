"""Planning a dispatch: records become chunks in bulk, their records pages of sealed blobs.

The source is read page by page and never held as a whole. What is planned is committed a portion at a time,
so that an activity that dies, or whose time is used up, is followed by one that goes on behind it.
"""

import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from activities.dead_letters import Rejected, check_rejects, letters_of
from activities.interruption import Interrupted, check_going
from activities.sensitivity import visible
from activities.services import ENGINE
from activities.verbs.measuring import measure
from activities.work import Work
from kernel.errors import Fault
from kernel.records import Column, Record, Records
from store import chunk_plans
from store.chunk_pages import ChunkPage, PagePlace
from store.chunk_plans import NewChunk, PlannedChunk
from store.chunks import UNFINISHED
from store.dead_letters import keep_more
from store.executions import note_life
from store.runs import Signal, TaskRow
from workflows.model import Dispatch
from workflows.rows import canonical, parse_number, plain
from workflows.states import TaskState

PORTION = 1_000
"""Records that are planned in one transaction."""
NO_KEY = "Every column of `key` is empty, so nothing identifies the record."
DUPLICATE = "An earlier record of the dispatch has the same key; add a column to `key` that tells them apart."
_GONE = "The record was not there any more when the run was retried."
_VANISHED: Mapping[str, Any] = {"step": None, "code": "vanished", "message": _GONE, "faults": []}


@dataclass(frozen=True)
class Planning:
    """How far it is: `read` records of the source, of which `rejected` became no chunk; the `next` number and
    the `pages` written; measures so far. `execution` is the run's execution that plans."""

    execution: int
    read: int = 0
    rejected: int = 0
    next: int = 0
    pages: int = 0
    complete: bool = False
    measures: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, task: TaskRow, execution: int) -> "Planning":
        """What is stored with the dispatch's task, if that is complete or this execution's own."""
        stored = task.planning
        if stored is None or not (stored["complete"] or stored["execution"] == execution):
            return cls(execution)
        measures = {name: parse_number(value) for name, value in stored["measures"].items()}
        return cls(**{**stored, "measures": measures})

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "measures": {name: plain(value) for name, value in self.measures.items()}}


def plan_chunks(work: Work, part: Dispatch, planning: Planning, page_size: int) -> Planning:
    """Plan on until everything is planned or the time of one activity is used up.

    Raises `InvalidData` for records without a key of their own, unless they become dead letters.
    """
    started = time.monotonic()
    planner = _Planner.of(work, part, page_size)
    planning = planner.begun(planning)
    with planner.portions(planning.read) as portions:
        for portion in portions:
            work.check_time()
            planning = planner.plan(planning, portion)
            if time.monotonic() - started > work.services.write_seconds:
                return planning
    return planner.completed(planning)


@dataclass
class _Candidate:
    """A record that becomes a chunk, or is one already, as an earlier execution has `found` it."""

    digest: str
    record: Record
    found: PlannedChunk | None = None
    number: int = 0
    page: int = 0

    @property
    def is_left(self) -> bool:
        """Whether it is to be run."""
        return self.found is None or self.found.state in (*UNFINISHED, TaskState.FAILED)


@dataclass(frozen=True)
class _Planner:
    """Plans portions of the source. `wrapped_key` is the run's; `stored` is what the task row has."""

    work: Work
    part: Dispatch
    page_size: int
    wrapped_key: bytes
    sensitive: frozenset[str]

    @classmethod
    def of(cls, work: Work, part: Dispatch, page_size: int) -> "_Planner":
        wrapped_key = work.services.contexts.pages.key(work.services.database, work.run.id, ENGINE)
        given = frozenset[str]() if part.source is None else work.source(part.source).sensitive
        return cls(work, part, page_size, wrapped_key, given.union(work.step.sensitive))

    def begun(self, planning: Planning) -> Planning:
        """Write down that the planning begins, unless it has; chunks of an earlier one keep their numbers."""
        if planning.read or planning.next:
            return planning
        run_id, step = self.work.run.id, self.work.step.key
        with self._going() as connection:
            fresh = replace(planning, next=chunk_plans.next_number(connection, run_id, step))
            chunk_plans.begin_planning(connection, run_id, step, fresh.to_dict())
        return fresh

    @contextmanager
    def portions(self, skipped: int) -> Iterator[Iterator[Records]]:
        """The source's records from number `skipped` on, a portion at a time."""
        call = self.part.generator
        if call is None:
            assert self.part.source is not None
            yield _portions([self.work.source(self.part.source).records], skipped)
            return
        with self.work.adapter(call) as adapter:
            yield _portions(adapter.fetch(call.operation, self.work.parameters(call)), skipped)

    def plan(self, planning: Planning, portion: Records) -> Planning:
        """Commit the chunks of a portion; their pages are written first."""
        candidates, rejected = self._sorted_out(portion, planning.execution)
        check_rejects(self.work, rejected, self.sensitive)
        new = self._number(candidates, planning)
        pages = self._write_pages(candidates, planning, portion.columns)
        after = replace(
            planning, read=planning.read + len(portion), rejected=planning.rejected + len(rejected),
            next=planning.next + len(new), pages=planning.pages + pages,
            measures=self._measured(planning, portion),
        )  # fmt: skip
        chunks = [NewChunk(one.number, one.digest, self._shown(one.record), one.page) for one in new]
        again = {one.found.id: one.page for one in candidates if one.found is not None}
        letters = letters_of(self.work, rejected, portion.columns, self.sensitive, planning.read)
        run_id, step = self.work.run.id, self.work.step.key
        with self._noting(planning, after) as connection:
            chunk_plans.insert_chunks(connection, run_id, step, planning.execution, chunks)
            chunk_plans.plan_again(connection, planning.execution, again)
            keep_more(connection, run_id, None, step, letters, self.work.services.clock())
        return after

    def completed(self, planning: Planning) -> Planning:
        """Everything is planned; what an earlier execution had and is not there any more is skipped."""
        after = replace(planning, complete=True)
        place, now = (self.work.run.id, self.work.step.key), self.work.services.clock()
        with self._noting(planning, after) as connection:
            chunk_plans.skip_vanished(connection, *place, planning.execution, _VANISHED, now)
        return after

    def _sorted_out(self, portion: Records, execution: int) -> tuple[list[_Candidate], list[Rejected]]:
        keys = [_key_digest(record, self.part.key) for record in portion.rows]
        with self.work.services.database.reading() as connection:
            found = chunk_plans.find_chunks(connection, self.work.run.id, self.work.step.key, keys)
        taken = {key for key, chunk in found.items() if chunk.execution == execution}
        candidates: list[_Candidate] = []
        rejected: list[Rejected] = []
        for key, record in zip(keys, portion.rows, strict=True):
            if all(record[name] is None for name in self.part.key):
                rejected.append(Rejected(record, (Fault("no_key", NO_KEY),)))
            elif key in taken:
                rejected.append(Rejected(record, (Fault("duplicate_key", DUPLICATE),)))
            else:
                taken.add(key)
                candidates.append(_Candidate(key, record, found.get(key)))
        return candidates, rejected

    def _number(self, candidates: Sequence[_Candidate], planning: Planning) -> list[_Candidate]:
        """Give every candidate its number and page; returns the new ones."""
        numbers = itertools.count(planning.next)
        for one in candidates:
            one.number = next(numbers) if one.found is None else one.found.number
        for at, one in enumerate(one for one in candidates if one.is_left):
            one.page = planning.pages + at // self.page_size
        return [one for one in candidates if one.found is None]

    def _write_pages(
        self, candidates: Sequence[_Candidate], planning: Planning, columns: tuple[Column, ...]
    ) -> int:
        """Seal the records of what is to be run; returns how many pages that took."""
        left = [one for one in candidates if one.is_left]
        written = 0
        for page, ones in itertools.groupby(left, key=lambda one: one.page):
            listed = list(ones)
            records = Records(columns, [one.record for one in listed])
            place = PagePlace(self.work.run.id, planning.execution, self.work.step.key, page)
            sealed = ChunkPage([one.number for one in listed], records, self.sensitive)
            self.work.services.contexts.pages.write(self.wrapped_key, place, sealed)
            written += 1
        return written

    def _shown(self, record: Record) -> dict[str, Any]:
        return visible({name: record[name] for name in self.part.key}, self.sensitive)

    def _measured(self, planning: Planning, portion: Records) -> dict[str, Any]:
        found = measure(self.work, portion, self.work.step.measures)
        before = planning.measures
        return {name: value + before.get(name, 0) for name, value in found.items() if name != "records"}

    @contextmanager
    def _noting(self, before: Planning, after: Planning) -> Iterator[Connection]:
        """A transaction that takes the planning from `before` to `after`; another activity that does the same
        at this moment is left alone."""
        run_id, step = self.work.run.id, self.work.step.key
        with self._going() as connection:
            note_life(connection, run_id, self.work.services.clock())
            if not chunk_plans.note_planning(connection, run_id, step, before.to_dict(), after.to_dict()):
                raise Interrupted(Signal.OVERTAKEN)
            yield connection

    @contextmanager
    def _going(self) -> Iterator[Connection]:
        with self.work.services.database.transaction(ENGINE) as connection:
            check_going(connection, self.work, alone=True)
            yield connection


def _key_digest(record: Record, names: Iterable[str]) -> str:
    text = json.dumps([canonical(record[name]) for name in names], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _portions(pages: Iterable[Records], skipped: int) -> Iterator[Records]:
    """Pages cut and joined into portions, without the first `skipped` records."""
    waiting: Records | None = None
    for page in pages:
        rows = page.rows[skipped:]
        skipped = max(0, skipped - len(page.rows))
        waiting = Records(page.columns, [*(waiting.rows if waiting is not None else ()), *rows])
        while len(waiting.rows) >= PORTION:
            yield Records(waiting.columns, waiting.rows[:PORTION])
            waiting = Records(waiting.columns, waiting.rows[PORTION:])
    if waiting is not None and waiting.rows:
        yield waiting
