"""Chunks of dispatches. Every state change is one compare-and-set over many chunks at once."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, case, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.types import Integer, Text

from kernel.ids import new_id
from store.tables import chunk_run
from workflows.states import TaskState, predecessors

_chunk = chunk_run.c
_ids = bindparam("ids", type_=ARRAY(PGUUID(as_uuid=True)))
UNFINISHED = (TaskState.PENDING, TaskState.RUNNING, TaskState.SUSPENDED)


@dataclass(frozen=True)
class ChunkRow:
    """One chunk. `number` is its place in the dispatch; `shown` are the values that identify it, redacted.

    `execution` and `page` say where its record is; `starts` counts how often it began without progress.
    """

    id: UUID
    run_id: UUID
    step_key: str
    number: int
    shown: Mapping[str, Any]
    state: TaskState
    attempt: int
    starts: int
    execution: int
    page: int
    wake_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    failure: Mapping[str, Any] | None
    child_run_id: UUID | None


@dataclass(frozen=True)
class NewChunk:
    """What planning writes of a chunk; see `ChunkRow`."""

    number: int
    key_digest: str
    shown: Mapping[str, Any]
    page: int


CHUNK_COLUMNS = tuple(chunk_run.c[part.name] for part in fields(ChunkRow))


def chunk_of(row: Any) -> ChunkRow:
    """The chunk that a row of the table describes."""
    return ChunkRow(**{**row._mapping, "state": TaskState(row.state)})


def insert_chunks(
    connection: Connection, run_id: UUID, step_key: str, execution: int, chunks: Sequence[NewChunk]
) -> None:
    """Write PENDING chunks in bulk (COPY)."""
    columns = "id, run_id, step_key, number, key_digest, shown, state, execution, page"
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY sluice.chunk_run ({columns}) FROM STDIN") as copy:
        for chunk in chunks:
            shown = json.dumps(chunk.shown, ensure_ascii=False)
            place = (new_id(), run_id, step_key, chunk.number, chunk.key_digest, shown)
            copy.write_row((*place, TaskState.PENDING.value, execution, chunk.page))


@dataclass(frozen=True)
class PlannedChunk:
    """What planning finds of a chunk that is there already."""

    id: UUID
    number: int
    state: TaskState
    execution: int


def find_chunks(
    connection: Connection, run_id: UUID, step_key: str, key_digests: Collection[str]
) -> dict[str, PlannedChunk]:
    """The dispatch's chunks of these keys, by key digest."""
    wanted = func.any(bindparam("digests", list(key_digests), type_=ARRAY(Text)))
    mine = (_chunk.run_id == run_id) & (_chunk.step_key == step_key) & (_chunk.key_digest == wanted)
    columns = (_chunk.key_digest, _chunk.id, _chunk.number, _chunk.state, _chunk.execution)
    query = select(*columns).where(mine)
    return {
        row.key_digest: PlannedChunk(row.id, row.number, TaskState(row.state), row.execution)
        for row in connection.execute(query)
    }


_MOVE_PAGES = text(
    "UPDATE sluice.chunk_run SET execution = :execution, page = given.page, starts = 0, wake_at = NULL,"
    " state = CASE state WHEN 'FAILED' THEN 'PENDING' ELSE state END"
    " FROM unnest(:ids, CAST(:pages AS integer[])) AS given(id, page) WHERE chunk_run.id = given.id"
).bindparams(_ids)


def plan_again(connection: Connection, execution: int, pages: Mapping[UUID, int]) -> None:
    """Chunks of an earlier execution are dispatched again, from these pages; failed ones wait to be tried
    again, and what has ended well stays so."""
    if not pages:
        return
    connection.execute(
        _MOVE_PAGES, {"execution": execution, "ids": list(pages), "pages": list(pages.values())}
    )


_VANISHED = text(
    "UPDATE sluice.chunk_run SET state = :after, finished_at = :now, failure = :failure::jsonb"
    " WHERE run_id = :run_id AND step_key = :step_key AND execution < :execution AND state = :before"
).bindparams(bindparam("now", type_=TIMESTAMP(timezone=True)))


def skip_vanished(
    connection: Connection,
    run_id: UUID,
    step_key: str,
    execution: int,
    failure: Mapping[str, Any],
    now: datetime,
) -> None:
    """Unfinished and failed chunks that `execution` has not found in the source any more are SKIPPED."""
    place = {"run_id": run_id, "step_key": step_key, "execution": execution}
    for before, after, why in (("FAILED", "PENDING", None), ("PENDING", "SKIPPED", json.dumps(failure))):
        ended = now if why else None
        given = {**place, "before": before, "after": after, "failure": why, "now": ended}
        connection.execute(_VANISHED, given)


def begin_chunks(
    connection: Connection, run_id: UUID, step_key: str, numbers: Collection[int], now: datetime
) -> list[ChunkRow]:
    """Chunks that have not ended become RUNNING; returns those. One that runs already was begun by an
    activity that died, or that is executed twice: it just goes on."""
    startable = _chunk.state.in_((*predecessors(TaskState.RUNNING), TaskState.RUNNING))
    startable &= _chunk.state != TaskState.FAILED
    anew = _chunk.state == TaskState.PENDING
    values = {
        "state": TaskState.RUNNING,
        "attempt": _chunk.attempt + case((anew, 1), else_=0),
        "starts": _chunk.starts + 1,
        "started_at": func.coalesce(_chunk.started_at, now),
        "wake_at": None,
    }
    wanted = _chunk.number == func.any(bindparam("numbers", list(numbers), type_=ARRAY(Integer)))
    mine = (_chunk.run_id == run_id) & (_chunk.step_key == step_key) & wanted
    changed = chunk_run.update().where(mine, startable).values(values).returning(*CHUNK_COLUMNS)
    return sorted((chunk_of(row) for row in connection.execute(changed)), key=lambda chunk: chunk.number)


def suspend_chunks(connection: Connection, ids: Collection[UUID]) -> None:
    """RUNNING chunks are paused with their run."""
    mine = _chunk.id.in_(ids) & (_chunk.state == TaskState.RUNNING)
    connection.execute(chunk_run.update().where(mine).values(state=TaskState.SUSPENDED, starts=0))


def forgive_starts(connection: Connection, ids: Collection[UUID]) -> None:
    """The activity stopped in an orderly way: that it began does not count against these chunks."""
    connection.execute(chunk_run.update().where(_chunk.id.in_(ids)).values(starts=0))


_FINISH = text(
    "UPDATE sluice.chunk_run SET state = given.state, finished_at = :now, failure = given.failure::jsonb,"
    " wake_at = NULL, starts = 0"
    " FROM unnest(:ids, :states, :failures) AS given(id, state, failure)"
    " WHERE chunk_run.id = given.id AND chunk_run.state = 'RUNNING'"
).bindparams(
    _ids,
    bindparam("now", type_=TIMESTAMP(timezone=True)),
    bindparam("states", type_=ARRAY(Text)),
    bindparam("failures", type_=ARRAY(Text)),
)


@dataclass(frozen=True)
class ChunkEnd:
    """How a chunk has ended: SUCCEEDED or FAILED, with its redacted failure."""

    id: UUID
    state: TaskState
    failure: Mapping[str, Any] | None = None


def finish_chunks(connection: Connection, ends: Sequence[ChunkEnd], now: datetime) -> None:
    """RUNNING chunks end."""
    if not ends:
        return
    failures = [None if end.failure is None else json.dumps(end.failure) for end in ends]
    states = [end.state.value for end in ends]
    given = {"ids": [end.id for end in ends], "states": states, "failures": failures, "now": now}
    connection.execute(_FINISH, given)


def await_chunks(connection: Connection, ids: Collection[UUID], wake_at: datetime) -> None:
    """RUNNING chunks wait on purpose until `wake_at`."""
    mine = _chunk.id.in_(ids) & (_chunk.state == TaskState.RUNNING)
    connection.execute(chunk_run.update().where(mine).values(wake_at=wake_at, starts=0))


def name_child(connection: Connection, chunk_id: UUID, child_run_id: UUID) -> None:
    """The chunk's work is a run of its own."""
    connection.execute(
        chunk_run.update().where(_chunk.id == chunk_id).values(child_run_id=child_run_id, starts=0)
    )


def end_chunks(connection: Connection, run_id: UUID, state: TaskState, now: datetime, failure: Any) -> None:
    """With their run, chunks that can go to `state` do."""
    mine = (_chunk.run_id == run_id) & _chunk.state.in_(predecessors(state))
    values = {"state": state, "finished_at": now, "failure": failure, "wake_at": None}
    connection.execute(chunk_run.update().where(mine).values(values))


def count_chunks(connection: Connection, run_id: UUID, step_key: str) -> Counter[TaskState]:
    """How many chunks of the dispatch are in which state."""
    mine = (_chunk.run_id == run_id) & (_chunk.step_key == step_key)
    query = select(_chunk.state, func.count()).where(mine).group_by(_chunk.state)
    return Counter({TaskState(state): count for state, count in connection.execute(query)})


def count_failed(connection: Connection, run_id: UUID, step_key: str) -> int:
    """How many chunks of the dispatch have failed."""
    mine = (_chunk.run_id == run_id) & (_chunk.step_key == step_key) & (_chunk.state == TaskState.FAILED)
    return connection.execute(select(func.count()).where(mine)).scalar_one()


@dataclass(frozen=True)
class Unfinished:
    """What is left of a dispatch: the first page with an unfinished chunk, and until when all of these wait
    on purpose (`None` when one does not)."""

    count: int
    first_page: int
    wake_at: datetime | None


def unfinished(connection: Connection, run_id: UUID, step_key: str) -> Unfinished:
    """What is left of the dispatch."""
    mine = (_chunk.run_id == run_id) & (_chunk.step_key == step_key) & _chunk.state.in_(UNFINISHED)
    due = func.count().filter(_chunk.wake_at.is_(None))
    query = select(func.count(), func.min(_chunk.page), due, func.min(_chunk.wake_at)).where(mine)
    count, page, ready, wake_at = connection.execute(query).one()
    return Unfinished(count, page or 0, None if ready else wake_at)


def failed_chunks(connection: Connection, run_id: UUID, step_key: str, limit: int) -> list[ChunkRow]:
    """The first chunks that have failed, by number."""
    mine = (_chunk.run_id == run_id) & (_chunk.step_key == step_key) & (_chunk.state == TaskState.FAILED)
    query = select(*CHUNK_COLUMNS).where(mine).order_by(_chunk.number).limit(limit)
    return [chunk_of(row) for row in connection.execute(query)]
