"""Chunks of dispatches. Every state change is one compare-and-set over many chunks at once."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from store.driver import execute, only
from store.tables import chunk_run, task_run
from workflows.states import TaskState, predecessors

_chunk = chunk_run.c
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


CHUNK_COLUMNS = tuple(chunk_run.c[part.name] for part in fields(ChunkRow))
_NAMES = ", ".join(part.name for part in fields(ChunkRow))


def chunk_of(row: Any) -> ChunkRow:
    """The chunk that a row of the table describes."""
    return _stored(row._mapping)


def _stored(row: Mapping[str, Any]) -> ChunkRow:
    return ChunkRow(**{**row, "state": TaskState(row["state"])})


_BEGIN = (
    "UPDATE sluice.chunk_run SET state = 'RUNNING',"  # noqa: S608 - our columns
    " attempt = attempt + CASE state WHEN 'PENDING' THEN 1 ELSE 0 END, starts = starts + 1,"
    " started_at = CASE state WHEN 'PENDING' THEN %(now)s::timestamptz ELSE started_at END, wake_at = NULL"
    " WHERE run_id = %(run_id)s AND step_key = %(step_key)s AND number = ANY(%(numbers)s::int[])"
    # `IS TRUE` keeps the planner from looking by state, which most chunks of the run share.
    f" AND (state IN ('PENDING', 'RUNNING', 'SUSPENDED')) IS TRUE RETURNING {_NAMES}"
)


def begin_chunks(
    connection: Connection, run_id: UUID, step_key: str, numbers: Collection[int], now: datetime
) -> list[ChunkRow]:
    """Chunks that have not ended become RUNNING; returns those. One that runs already was begun by an
    activity that died, or that is executed twice: it just goes on."""
    given = {"run_id": run_id, "step_key": step_key, "numbers": list(numbers), "now": now}
    begun = (_stored(row) for row in execute(connection, _BEGIN, given))
    return sorted(begun, key=lambda chunk: chunk.number)


def numbers_of_page(
    connection: Connection, run_id: UUID, step_key: str, execution: int, page: int
) -> list[int]:
    """Numbers of the unfinished chunks whose records are in a page."""
    mine = (_chunk.run_id == run_id) & (_chunk.step_key == step_key) & (_chunk.execution == execution)
    mine &= (_chunk.page == page) & _chunk.state.in_(UNFINISHED)
    return list(connection.scalars(select(_chunk.number).where(mine).order_by(_chunk.number)))


def suspend_chunks(connection: Connection, ids: Collection[UUID]) -> None:
    """RUNNING chunks are paused with their run."""
    mine = _chunk.id.in_(ids) & (_chunk.state == TaskState.RUNNING)
    connection.execute(chunk_run.update().where(mine).values(state=TaskState.SUSPENDED, starts=0))


def forgive_starts(connection: Connection, ids: Collection[UUID]) -> None:
    """The activity stopped in an orderly way: that it began does not count against these chunks."""
    connection.execute(chunk_run.update().where(_chunk.id.in_(ids)).values(starts=0))


_FINISH = (
    "UPDATE sluice.chunk_run SET state = given.state, finished_at = %(now)s, failure = given.failure::jsonb,"
    " wake_at = NULL, starts = 0"
    " FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(failures)s::text[]) AS given(id, state, failure)"
    " WHERE chunk_run.id = given.id AND chunk_run.state = 'RUNNING'"
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
    execute(connection, _FINISH, given)


def await_chunks(connection: Connection, ids: Collection[UUID], wake_at: datetime) -> None:
    """RUNNING chunks wait on purpose until `wake_at`."""
    mine = _chunk.id.in_(ids) & (_chunk.state == TaskState.RUNNING)
    connection.execute(chunk_run.update().where(mine).values(wake_at=wake_at, starts=0))


def hold_chunk(connection: Connection, chunk_id: UUID, wake_at: datetime) -> None:
    """A RUNNING chunk waits for people, with its step, until they have decided or something is due."""
    mine = (_chunk.id == chunk_id) & (_chunk.state == TaskState.RUNNING)
    values = {"state": TaskState.SUSPENDED, "wake_at": wake_at, "starts": 0}
    connection.execute(chunk_run.update().where(mine).values(values))
    going = (task_run.c.chunk_id == chunk_id) & (task_run.c.state == TaskState.RUNNING)
    connection.execute(task_run.update().where(going).values(state=TaskState.SUSPENDED))


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
    return int(only(execute(connection, _FAILED, {"run_id": run_id, "step_key": step_key}))["count"])


_FAILED = (
    "SELECT count(*) AS count FROM sluice.chunk_run"
    " WHERE run_id = %(run_id)s AND step_key = %(step_key)s AND state = 'FAILED'"
)


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
