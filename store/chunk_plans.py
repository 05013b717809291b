"""Planning of dispatches: records become chunks in bulk, once, also when they are planned again."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.types import Text

from kernel.ids import new_id
from store.tables import chunk_run, task_run
from workflows.states import TaskState

_chunk = chunk_run.c
_ids = bindparam("ids", type_=ARRAY(PGUUID(as_uuid=True)))


@dataclass(frozen=True)
class NewChunk:
    """What planning writes of a chunk; see `ChunkRow`."""

    number: int
    key_digest: str
    shown: Mapping[str, Any]
    page: int


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
    "UPDATE sluice.chunk_run SET state = :after, finished_at = :now, failure = CAST(:failure AS jsonb)"
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


def next_number(connection: Connection, run_id: UUID, step_key: str) -> int:
    """The number of the next new chunk of the dispatch."""
    mine = (_chunk.run_id == run_id) & (_chunk.step_key == step_key)
    highest = connection.scalar(select(func.max(_chunk.number)).where(mine))
    return 0 if highest is None else int(highest) + 1


def begin_planning(connection: Connection, run_id: UUID, step_key: str, planning: Mapping[str, Any]) -> None:
    """Planning begins, again if an earlier execution did not complete it."""
    mine = (task_run.c.run_id == run_id) & task_run.c.chunk_id.is_(None) & (task_run.c.step_key == step_key)
    connection.execute(task_run.update().where(mine).values(planning=dict(planning)))


def note_planning(
    connection: Connection,
    run_id: UUID,
    step_key: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> bool:
    """Compare-and-set how far the planning of a running dispatch is; False when another activity was
    faster."""
    mine = (task_run.c.run_id == run_id) & task_run.c.chunk_id.is_(None) & (task_run.c.step_key == step_key)
    mine &= (task_run.c.state == TaskState.RUNNING) & (task_run.c.planning == cast(dict(before), JSONB))
    counts = {"records": after["read"], "rejected": after["rejected"]}
    values = {"planning": dict(after), "counts": counts}
    return connection.execute(task_run.update().where(mine).values(values)).rowcount == 1
