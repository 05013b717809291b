"""Workflow runs and their tasks. Every state change is one compare-and-set guarded by the state table."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Select, case, select, tuple_

from kernel.errors import Conflict, NotFound
from kernel.ids import new_id
from store.driver import adapted, as_json, assignments, execute, only, together
from store.tables import task_run, workflow_run, workflow_version
from workflows.states import TERMINAL_RUN_STATES, RunState, TaskState, predecessors


@dataclass(frozen=True)
class RunRow:
    """One run. `failure` and `totals` are JSON; `version` is the number people see.

    `execution` counts the orchestrations the run has had; `segment` is where the present one began;
    `requested` is what an operator asked for and has not happened yet.
    """

    id: UUID
    workflow: str
    version_id: UUID
    version: int
    environment: str
    state: RunState
    inputs: Mapping[str, Any]
    requested_by: str
    reason: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    failure: Mapping[str, Any] | None
    totals: list[Mapping[str, Any]] | None
    execution: int
    segment: int
    context_execution: int
    recoveries: int
    requested: str | None
    heartbeat_at: datetime | None
    wake_at: datetime | None
    deadline_at: datetime | None
    replay_of: UUID | None
    repair_of: UUID | None
    parent_run_id: UUID | None
    parent_step: str | None
    parent_chunk_id: UUID | None
    root_run_id: UUID | None
    depth: int
    waits_for: str | None = None
    held_step: str | None = None
    held_execution: int | None = None

    @property
    def wish(self) -> str | None:
        """What is requested of it, or what it waits for."""
        return self.requested or self.waits_for


@dataclass(frozen=True)
class TaskRow:
    """One step of one run, or of one of its chunks."""

    id: UUID
    run_id: UUID
    chunk_id: UUID | None
    step_key: str
    position: int
    verb: str
    state: TaskState
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    counts: Mapping[str, int] | None
    measures: Mapping[str, Any] | None
    failure: Mapping[str, Any] | None
    attempts: list[Mapping[str, Any]]
    planning: Mapping[str, Any] | None
    batch_digest: str | None


@dataclass(frozen=True)
class RunFilter:
    """What a run list may be narrowed to."""

    workflow: str | None = None
    state: RunState | None = None
    parent: UUID | None = None
    before: tuple[datetime, UUID] | None = None


def _runs() -> Select[Any]:
    columns = [workflow_run.c[part.name] for part in fields(RunRow) if part.name != "version"]
    joined = workflow_run.join(workflow_version, workflow_run.c.version_id == workflow_version.c.id)
    return select(*columns, workflow_version.c.number.label("version")).select_from(joined)


def _run(row: Mapping[str, Any]) -> RunRow:
    return RunRow(**{**row, "state": RunState(row["state"])})


_NUMBER = "(SELECT number FROM sluice.workflow_version WHERE id = version_id) AS version"
_RUN_COLUMNS = ", ".join(_NUMBER if part.name == "version" else part.name for part in fields(RunRow))
_GET_RUN = f"SELECT {_RUN_COLUMNS} FROM sluice.workflow_run WHERE id = %(id)s"  # noqa: S608 - our columns
_LOCK_RUN = _GET_RUN + " FOR NO KEY UPDATE"
_INSERT_TASKS = (
    "INSERT INTO sluice.task_run (id, run_id, step_key, position, verb, state)"
    " SELECT id, %(run_id)s, key, position - 1, verb, 'PENDING'"
    " FROM unnest(%(ids)s::uuid[], %(keys)s::text[], %(verbs)s::text[]) WITH ORDINALITY"
    " AS given(id, key, verb, position)"
)


def insert_run(connection: Connection, run: Mapping[str, Any], steps: Iterable[tuple[str, str]]) -> RunRow:
    """Write a PENDING run and one PENDING task for each (step key, verb); returns the run."""
    keys, verbs = zip(*steps, strict=True)
    values = adapted(run)
    insert = (
        f"INSERT INTO sluice.workflow_run (state, {', '.join(values)})"  # noqa: S608 - our columns
        f" VALUES ('PENDING', {', '.join(f'%({name})s' for name in values)}) RETURNING {_RUN_COLUMNS}"
    )
    tasks = {"run_id": run["id"], "ids": [new_id() for _ in keys], "keys": list(keys), "verbs": list(verbs)}
    with together(connection):
        inserted = execute(connection, insert, values)
        execute(connection, _INSERT_TASKS, tasks)
        return _run(only(inserted))


def get_run(connection: Connection, run_id: UUID, *, lock: bool = False) -> RunRow:
    """The run; `NotFound` when there is none. To `lock` it see `store.operating.lock_run`."""
    row = execute(connection, _LOCK_RUN if lock else _GET_RUN, {"id": run_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return _run(row)


def list_runs(connection: Connection, wanted: RunFilter, limit: int) -> list[RunRow]:
    """Runs that match, newest first."""
    query = _runs().order_by(workflow_run.c.created_at.desc(), workflow_run.c.id.desc()).limit(limit)
    if wanted.workflow:
        query = query.where(workflow_run.c.workflow == wanted.workflow)
    if wanted.state:
        query = query.where(workflow_run.c.state == wanted.state)
    if wanted.parent:
        query = query.where(workflow_run.c.parent_run_id == wanted.parent)
    if wanted.before:
        query = query.where(tuple_(workflow_run.c.created_at, workflow_run.c.id) < tuple_(*wanted.before))
    return [_run(dict(row._mapping)) for row in connection.execute(query)]


def move_run(
    connection: Connection, run_id: UUID, state: RunState,
    *, execution: int | None = None, requested_was: str | None = None, **values: Any,
) -> bool:  # fmt: skip
    """Compare-and-set a run into `state` with further column values; False when the table forbids it now,
    when another execution than the one named works on it, or when something else is requested of it."""
    changed = {"state": state, **values}
    statement = (
        f"UPDATE sluice.workflow_run SET {assignments(changed)}"  # noqa: S608 - our columns
        " WHERE id = %(_id)s AND state = ANY(%(_before)s)"
        " AND execution = coalesce(%(_execution)s::int, execution)"
        " AND (%(_requested)s::text IS NULL OR requested = %(_requested)s) RETURNING id"
    )
    guard = {"_id": run_id, "_before": _before(state), "_execution": execution, "_requested": requested_was}
    return execute(connection, statement, {**adapted(changed), **guard}).fetchone() is not None


def _before(state: RunState | TaskState) -> list[str]:
    return [before.value for before in predecessors(state)]


class Signal(StrEnum):
    """What a run says to the execution that works on it."""

    GO = "go"
    OVERTAKEN = "overtaken"
    """The run has ended, waits, or another execution works on it: change nothing more."""
    CANCEL = "cancel"
    PAUSE = "pause"
    OVERDUE = "overdue"
    """The run should be over by now."""


def signal(
    connection: Connection, run_id: UUID, execution: int, now: datetime, *, alone: bool = False
) -> Signal:
    """What the run says. It stays true until this transaction ends: the row is locked against changes.

    Who is going to change the run itself asks `alone`, or two of them would wait for each other.
    """
    row = only(execute(connection, _SIGNAL_ALONE if alone else _SIGNAL, {"id": run_id}))
    if row["state"] != RunState.RUNNING or row["execution"] != execution:
        return Signal.OVERTAKEN
    if row["requested"]:
        return Signal(row["requested"])
    return Signal.OVERDUE if row["deadline_at"] and now >= row["deadline_at"] else Signal.GO


_SIGNAL = (
    "SELECT state, execution, requested, deadline_at FROM sluice.workflow_run WHERE id = %(id)s FOR SHARE"
)
_SIGNAL_ALONE = _SIGNAL.replace("FOR SHARE", "FOR UPDATE")


def context_key(connection: Connection, run_id: UUID) -> bytes | None:
    """The run's wrapped context key, if it still has one."""
    query = "SELECT context_key FROM sluice.workflow_run WHERE id = %(id)s"
    key: bytes | None = only(execute(connection, query, {"id": run_id}))["context_key"]
    return key


def set_context_key(connection: Connection, run_id: UUID, wrapped: bytes) -> bytes:
    """Store the wrapped key unless one is there; return the one that counts.

    Raises `Conflict` when the run has ended: its key was destroyed and must not come back.
    """
    table = workflow_run
    missing = table.c.context_key.is_(None) & (table.c.state == RunState.RUNNING)
    connection.execute(table.update().where(table.c.id == run_id, missing).values(context_key=wrapped))
    stored = context_key(connection, run_id)
    if stored is None:
        raise Conflict(f"The run {run_id} has ended; its records are not kept.")
    return stored


_TASK_COLUMNS = ", ".join(part.name for part in fields(TaskRow))
_OWN = " run_id = %(run_id)s AND chunk_id IS NULL"
_STEP = _OWN + " AND step_key = %(step_key)s"
_GET_TASKS = f"SELECT {_TASK_COLUMNS} FROM sluice.task_run WHERE {_OWN} ORDER BY position"  # noqa: S608
_GET_TASK = f"SELECT {_TASK_COLUMNS} FROM sluice.task_run WHERE {_STEP}"  # noqa: S608 - our columns


def get_tasks(connection: Connection, run_id: UUID) -> list[TaskRow]:
    """The run's own tasks in step order, without those of its chunks."""
    return [task_of(row) for row in execute(connection, _GET_TASKS, {"run_id": run_id})]


def task_of(row: Mapping[str, Any]) -> TaskRow:
    """The task that a row of the table describes."""
    return TaskRow(**{**row, "state": TaskState(row["state"])})


def get_task(connection: Connection, run_id: UUID, step_key: str) -> TaskRow:
    """One task."""
    return task_of(only(execute(connection, _GET_TASK, {"run_id": run_id, "step_key": step_key})))


_BEGIN_TASK = (
    "UPDATE sluice.task_run SET state = 'RUNNING', started_at = %(now)s, failure = NULL,"  # noqa: S608
    " attempt = attempt + CASE state WHEN 'SUSPENDED' THEN 0 ELSE 1 END"
    f" WHERE {_STEP} AND state = ANY(%(before)s)"
)


def begin_task(connection: Connection, run_id: UUID, step_key: str, now: datetime) -> None:
    """PENDING, FAILED or SUSPENDED becomes RUNNING with one more attempt. A task that runs already, or that
    was paused, just goes on: being executed again after a crash, or continued, is no attempt that failed."""
    given = {"run_id": run_id, "step_key": step_key, "now": now, "before": _before(TaskState.RUNNING)}
    execute(connection, _BEGIN_TASK, given)


def task_begun(task: TaskRow, now: datetime) -> TaskRow:
    """What `begin_task` makes of a task that can begin."""
    attempt = task.attempt + (0 if task.state is TaskState.SUSPENDED else 1)
    return replace(task, state=TaskState.RUNNING, attempt=attempt, started_at=now, failure=None)


_FINISH_TASKS = (
    "UPDATE sluice.task_run SET state = %(state)s, finished_at = %(now)s, failure = %(failure)s"
    " WHERE run_id = %(run_id)s AND state = ANY(%(before)s)"
)
_ONLY_THESE = " AND chunk_id IS NULL AND step_key = ANY(%(keys)s)"


def finish_tasks(
    connection: Connection, run_id: UUID, state: TaskState, now: datetime,
    *, keys: Collection[str] | None = None, failure: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Move every task that may go to `state` there, those of chunks too; or the run's own of `keys`."""
    given = {"run_id": run_id, "state": state.value, "before": _before(state), "now": now,
             "failure": as_json(failure)}  # fmt: skip
    chosen = _FINISH_TASKS if keys is None else _FINISH_TASKS + _ONLY_THESE
    execute(connection, chosen, given if keys is None else {**given, "keys": list(keys)})


def suspend_tasks(connection: Connection, run_id: UUID) -> None:
    """Tasks that run are paused with their run."""
    mine = (task_run.c.run_id == run_id) & (task_run.c.state == TaskState.RUNNING)
    connection.execute(task_run.update().where(mine).values(state=TaskState.SUSPENDED))


_PROGRESS = (
    "UPDATE sluice.task_run SET counts = %(counts)s"  # noqa: S608 - our columns
    f" WHERE {_STEP} AND state IN ('RUNNING', 'SUSPENDED')"
)


def set_task_progress(connection: Connection, run_id: UUID, step_key: str, counts: Mapping[str, int]) -> None:
    """Write how far a task is that runs or is paused; not a state change."""
    execute(connection, _PROGRESS, {"run_id": run_id, "step_key": step_key, "counts": Jsonb(dict(counts))})


# In one that has succeeded before only the numbers change, as long as the run goes on.
_SUCCEED_TASK = (
    "UPDATE sluice.task_run SET state = 'SUCCEEDED', counts = %(counts)s, measures = %(measures)s,"  # noqa: S608
    " finished_at = CASE state WHEN 'SUCCEEDED' THEN finished_at ELSE %(now)s END, failure = NULL"
    f" WHERE {_STEP} AND (state = ANY(%(before)s) OR state = 'SUCCEEDED'"
    " AND EXISTS (SELECT FROM sluice.workflow_run WHERE id = %(run_id)s AND state = 'RUNNING'))"
)


def succeed_task(
    connection: Connection, run_id: UUID, step_key: str, now: datetime,
    counts: Mapping[str, int], measures: Mapping[str, Any],
) -> None:  # fmt: skip
    """RUNNING becomes SUCCEEDED with what it counted; repeated while the run goes on, a step counts again."""
    place = {"run_id": run_id, "step_key": step_key, "now": now, "before": _before(TaskState.SUCCEEDED)}
    found = {"counts": Jsonb(dict(counts)), "measures": Jsonb(dict(measures))}
    execute(connection, _SUCCEED_TASK, {**place, **found})


def pending_since(
    connection: Connection, before: datetime, nested_before: datetime, limit: int
) -> list[UUID]:
    """Runs that are PENDING and were created before a time, oldest first; nested ones before another."""
    table = workflow_run
    since = case((table.c.parent_run_id.is_(None), before), else_=nested_before)
    query = select(table.c.id).where(table.c.state == RunState.PENDING, table.c.created_at < since)
    return list(connection.execute(query.order_by(table.c.created_at).limit(limit)).scalars())


def ended_of(connection: Connection, run_ids: Collection[UUID]) -> list[UUID]:
    """Those of the runs that have ended."""
    table = workflow_run
    ended = table.c.id.in_(run_ids) & table.c.state.in_(TERMINAL_RUN_STATES)
    return list(connection.execute(select(table.c.id).where(ended).order_by(table.c.id)).scalars())


def unpurged(connection: Connection, before: datetime, limit: int) -> list[tuple[UUID, int]]:
    """Runs that ended before a time and whose durable history is still kept: id and last execution."""
    table = workflow_run
    old = table.c.purged_at.is_(None) & (table.c.finished_at < before)
    query = select(table.c.id, table.c.execution).where(old).order_by(table.c.finished_at).limit(limit)
    return [(row.id, row.execution) for row in connection.execute(query)]


def note_purged(connection: Connection, run_ids: Collection[UUID], now: datetime) -> None:
    """Durable execution no longer keeps anything of these runs, except of those retried meanwhile."""
    table = workflow_run
    ended = table.c.id.in_(run_ids) & table.c.state.in_(TERMINAL_RUN_STATES)
    connection.execute(table.update().where(ended).values(purged_at=now))
