"""Tasks of chunks: written when they begin, for many chunks at once."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID

from kernel.ids import new_id
from store.attempts import Attempt
from store.driver import execute
from store.runs import TaskRow, task_of
from store.tables import task_run
from workflows.states import TaskState

# PENDING, FAILED or SUSPENDED becomes RUNNING, as `store.runs.begin_task` has it; one that is not there yet
# is begun as it is written.
_BEGIN = (
    "INSERT INTO sluice.task_run (id, run_id, chunk_id, step_key, position, verb, state, attempt, started_at)"
    " SELECT id, %(run_id)s, chunk_id, %(step_key)s, %(position)s, %(verb)s, 'RUNNING', 1, %(now)s"
    " FROM unnest(%(ids)s::uuid[], %(chunks)s::uuid[]) AS given(id, chunk_id)"
    " ON CONFLICT ON CONSTRAINT task_run_step_key DO UPDATE SET state = 'RUNNING',"
    " attempt = task_run.attempt + CASE task_run.state WHEN 'SUSPENDED' THEN 0 ELSE 1 END,"
    " started_at = excluded.started_at, finished_at = NULL, failure = NULL"
    " WHERE task_run.state IN ('PENDING', 'FAILED', 'SUSPENDED')"
)


@dataclass(frozen=True)
class StepPlace:
    """Which step of which run: what all tasks of one statement have in common."""

    run_id: UUID
    step_key: str
    position: int
    verb: str


def begin_tasks(connection: Connection, place: StepPlace, chunk_ids: Sequence[UUID], now: datetime) -> None:
    """The step begins in these chunks. A task that runs already, or is done, stays as it is."""
    ids = [new_id() for _ in chunk_ids]
    execute(connection, _BEGIN, {**vars(place), "ids": ids, "chunks": list(chunk_ids), "now": now})


# What is only waited for again and again is one attempt, as `store.attempts.record_attempt` has it.
# Chunks are named twice, so that each is found by the index, whatever the planner believes of a table that
# has grown since: by the join alone it read all tasks of the run.
_END = (
    "UPDATE sluice.task_run SET state = given.state, finished_at = %(now)s,"
    " counts = coalesce(given.counts::jsonb, task_run.counts),"
    " measures = coalesce(given.measures::jsonb, task_run.measures),"
    " failure = given.failure::jsonb, batch_digest = coalesce(given.digest, task_run.batch_digest),"
    " attempts = CASE WHEN given.failed::jsonb -> 'counted' = 'false' AND task_run.attempts -> -1 @>"
    " jsonb_build_object('counted', false, 'code', given.failed::jsonb -> 'code', 'execution',"
    " given.failed::jsonb -> 'execution') THEN jsonb_set(task_run.attempts, '{-1}', given.failed::jsonb ||"
    " jsonb_build_object('times', (task_run.attempts -> -1 ->> 'times')::int + 1))"
    " ELSE task_run.attempts || coalesce(given.failed::jsonb, '[]') END,"
    " attempt = task_run.attempt + CASE WHEN given.failed::jsonb -> 'counted' = 'true'"
    " AND given.state = 'RUNNING' THEN 1 ELSE 0 END"
    " FROM unnest(%(chunks)s::uuid[], %(states)s::text[], %(counts)s::text[], %(measures)s::text[],"
    " %(failures)s::text[], %(digests)s::text[], %(failed)s::text[])"
    " AS given(chunk_id, state, counts, measures, failure, digest, failed)"
    " WHERE task_run.run_id = %(run_id)s AND task_run.chunk_id = given.chunk_id"
    " AND task_run.chunk_id = ANY(%(chunks)s::uuid[])"
    " AND step_key = %(step_key)s AND (task_run.state = 'RUNNING' OR task_run.state = given.state)"
)


@dataclass(frozen=True)
class TaskEnd:
    """How a chunk's task stands: SUCCEEDED, FAILED, or RUNNING with what it has counted so far. `attempt` is
    one that failed."""

    chunk_id: UUID
    state: TaskState
    counts: Mapping[str, int] | None = None
    measures: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None
    batch_digest: str | None = None
    attempt: Attempt | None = None


def end_tasks(connection: Connection, place: StepPlace, ends: Sequence[TaskEnd], now: datetime) -> None:
    """Write down how the step's running tasks have ended; one that was repeated counts again."""
    execute(
        connection,
        _END,
        {
            "run_id": place.run_id,
            "step_key": place.step_key,
            "now": now,
            "chunks": [end.chunk_id for end in ends],
            "states": [end.state.value for end in ends],
            "counts": [_json(end.counts) for end in ends],
            "measures": [_json(end.measures) for end in ends],
            "failures": [_json(end.failure) for end in ends],
            "digests": [end.batch_digest for end in ends],
            "failed": [None if end.attempt is None else _json(end.attempt.to_dict()) for end in ends],
        },
    )


def tasks_of(
    connection: Connection, run_id: UUID, chunk_ids: Collection[UUID]
) -> dict[UUID, dict[str, TaskRow]]:
    """The tasks of these chunks of a run, by chunk and step key."""
    wanted = func.any(bindparam("ids", list(chunk_ids), type_=ARRAY(PGUUID(as_uuid=True))))
    mine = (task_run.c.run_id == run_id) & (task_run.c.chunk_id == wanted)
    query = select(task_run).where(mine).order_by(task_run.c.position)
    found: dict[UUID, dict[str, TaskRow]] = {chunk_id: {} for chunk_id in chunk_ids}
    for row in connection.execute(query):
        found[row.chunk_id][row.step_key] = task_of(dict(row._mapping))
    return found


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)
