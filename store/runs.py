"""Workflow runs and their tasks. Every state change is one compare-and-set guarded by the state table."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, exists, select, tuple_

from kernel.errors import Conflict, NotFound
from kernel.ids import new_id
from store.tables import task_run, workflow_run, workflow_version
from workflows.states import RunState, TaskState, predecessors


@dataclass(frozen=True)
class RunRow:
    """One run. `failure` and `totals` are JSON; `version` is the number people see."""

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


@dataclass(frozen=True)
class TaskRow:
    """One step of one run."""

    id: UUID
    run_id: UUID
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


@dataclass(frozen=True)
class RunFilter:
    """What a run list may be narrowed to."""

    workflow: str | None = None
    state: RunState | None = None
    before: tuple[datetime, UUID] | None = None


def _runs() -> Select[Any]:
    columns = [column for column in workflow_run.c if column.name != "context_key"]
    joined = workflow_run.join(workflow_version, workflow_run.c.version_id == workflow_version.c.id)
    return select(*columns, workflow_version.c.number.label("version")).select_from(joined)


def _run(row: Any) -> RunRow:
    return RunRow(**{**row._mapping, "state": RunState(row.state)})


def insert_run(connection: Connection, run: Mapping[str, Any], steps: Iterable[tuple[str, str]]) -> None:
    """Write a PENDING run and one PENDING task for each (step key, verb)."""
    connection.execute(workflow_run.insert().values(state=RunState.PENDING, **run))
    rows = [
        {"id": new_id(), "run_id": run["id"], "step_key": key, "position": position, "verb": verb,
         "state": TaskState.PENDING}
        for position, (key, verb) in enumerate(steps)
    ]  # fmt: skip
    connection.execute(task_run.insert(), rows)


def get_run(connection: Connection, run_id: UUID) -> RunRow:
    """The run; `NotFound` when there is none."""
    row = connection.execute(_runs().where(workflow_run.c.id == run_id)).first()
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
    if wanted.before:
        query = query.where(tuple_(workflow_run.c.created_at, workflow_run.c.id) < tuple_(*wanted.before))
    return [_run(row) for row in connection.execute(query)]


def move_run(connection: Connection, run_id: UUID, state: RunState, **values: Any) -> bool:
    """Compare-and-set a run into `state` with further column values; False when the table forbids it now."""
    table = workflow_run
    allowed = table.c.state.in_(predecessors(state))
    moved = connection.execute(
        table.update().where(table.c.id == run_id, allowed).values(state=state, **values)
    )
    return moved.rowcount == 1


def hold_running(connection: Connection, run_id: UUID) -> bool:
    """Whether the run is RUNNING. If so it cannot end before this transaction does."""
    table = workflow_run
    held = select(table.c.id).where(table.c.id == run_id, table.c.state == RunState.RUNNING)
    return connection.scalar(held.with_for_update(read=True)) is not None


def context_key(connection: Connection, run_id: UUID) -> bytes | None:
    """The run's wrapped context key, if it still has one."""
    key: bytes | None = connection.scalar(
        select(workflow_run.c.context_key).where(workflow_run.c.id == run_id)
    )
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


def get_tasks(connection: Connection, run_id: UUID) -> list[TaskRow]:
    """The run's tasks in step order."""
    query = select(task_run).where(task_run.c.run_id == run_id).order_by(task_run.c.position)
    rows = connection.execute(query)
    return [TaskRow(**{**row._mapping, "state": TaskState(row.state)}) for row in rows]


def move_task(connection: Connection, run_id: UUID, step_key: str, state: TaskState, **values: Any) -> bool:
    """Compare-and-set a task into `state` with further column values; False when the table forbids it now."""
    table = task_run
    mine = (table.c.run_id == run_id) & (table.c.step_key == step_key)
    allowed = table.c.state.in_(predecessors(state))
    return connection.execute(table.update().where(mine, allowed).values(state=state, **values)).rowcount == 1


def begin_task(connection: Connection, run_id: UUID, step_key: str, now: datetime) -> bool:
    """PENDING or FAILED becomes RUNNING with one more attempt. A task that runs already just goes on: being
    executed again after a crash, or continued, is not an attempt that failed."""
    table = task_run
    mine = (table.c.run_id == run_id) & (table.c.step_key == step_key)
    startable = table.c.state.in_(predecessors(TaskState.RUNNING))
    values = {"state": TaskState.RUNNING, "attempt": table.c.attempt + 1, "started_at": now}
    return connection.execute(table.update().where(mine, startable).values(values)).rowcount == 1


def count_attempt(connection: Connection, run_id: UUID, step_key: str) -> None:
    """One more attempt of a task, because the last one failed and is tried again. A read that had succeeded
    and fails when it is repeated counts too: otherwise it would be tried for ever."""
    mine = (task_run.c.run_id == run_id) & (task_run.c.step_key == step_key)
    begun = task_run.c.state.in_((TaskState.RUNNING, TaskState.SUCCEEDED))
    connection.execute(task_run.update().where(mine, begun).values(attempt=task_run.c.attempt + 1))


def finish_tasks(
    connection: Connection, run_id: UUID, state: TaskState, now: datetime,
    *, keys: Collection[str] | None = None, failure: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Move every task that may go to `state` there, or those of `keys`."""
    table = task_run
    chosen = [table.c.run_id == run_id, table.c.state.in_(predecessors(state))]
    if keys is not None:
        chosen.append(table.c.step_key.in_(keys))
    values = {"state": state, "finished_at": now, "failure": failure}
    connection.execute(table.update().where(*chosen).values(values))


def set_task_progress(connection: Connection, run_id: UUID, step_key: str, counts: Mapping[str, int]) -> None:
    """Write how far a running task is; not a state change."""
    mine = (task_run.c.run_id == run_id) & (task_run.c.step_key == step_key)
    running = task_run.c.state == TaskState.RUNNING
    connection.execute(task_run.update().where(mine, running).values(counts=dict(counts)))


def succeed_task(
    connection: Connection, run_id: UUID, step_key: str, now: datetime,
    counts: Mapping[str, int], measures: Mapping[str, Any],
) -> None:  # fmt: skip
    """RUNNING becomes SUCCEEDED with what it counted; repeated while the run goes on, a step counts again."""
    values = {"counts": dict(counts), "measures": dict(measures)}
    ended = {"finished_at": now, "failure": None}
    if not move_task(connection, run_id, step_key, TaskState.SUCCEEDED, **ended, **values):
        mine = (task_run.c.run_id == run_id) & (task_run.c.step_key == step_key)
        done = task_run.c.state == TaskState.SUCCEEDED
        running = exists().where(workflow_run.c.id == run_id, workflow_run.c.state == RunState.RUNNING)
        connection.execute(task_run.update().where(mine, done, running).values(**values))


def pending_since(connection: Connection, before: datetime, limit: int) -> list[UUID]:
    """Runs that are PENDING and were created before a time, oldest first."""
    table = workflow_run
    query = select(table.c.id).where(table.c.state == RunState.PENDING, table.c.created_at < before)
    return list(connection.execute(query.order_by(table.c.created_at).limit(limit)).scalars())
