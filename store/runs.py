"""Workflow runs and their tasks. Every state change is one compare-and-set guarded by the state table."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, case, exists, select, tuple_

from kernel.errors import Conflict, NotFound
from kernel.ids import new_id
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
    if wanted.parent:
        query = query.where(workflow_run.c.parent_run_id == wanted.parent)
    if wanted.before:
        query = query.where(tuple_(workflow_run.c.created_at, workflow_run.c.id) < tuple_(*wanted.before))
    return [_run(row) for row in connection.execute(query)]


def move_run(
    connection: Connection, run_id: UUID, state: RunState,
    *, execution: int | None = None, requested_was: str | None = None, **values: Any,
) -> bool:  # fmt: skip
    """Compare-and-set a run into `state` with further column values; False when the table forbids it now,
    when another execution than the one named works on it, or when something else is requested of it."""
    table = workflow_run
    chosen = [table.c.id == run_id, table.c.state.in_(predecessors(state))]
    if execution is not None:
        chosen.append(table.c.execution == execution)
    if requested_was is not None:
        chosen.append(table.c.requested == requested_was)
    return connection.execute(table.update().where(*chosen).values(state=state, **values)).rowcount == 1


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
    names = ("state", "execution", "requested", "deadline_at")
    query = select(*(workflow_run.c[name] for name in names)).where(workflow_run.c.id == run_id)
    row = connection.execute(query.with_for_update(read=not alone)).one()
    if row.state != RunState.RUNNING or row.execution != execution:
        return Signal.OVERTAKEN
    if row.requested:
        return Signal(row.requested)
    return Signal.OVERDUE if row.deadline_at and now >= row.deadline_at else Signal.GO


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
    """The run's own tasks in step order, without those of its chunks."""
    query = select(task_run).where(_own(run_id)).order_by(task_run.c.position)
    return [task_of(row) for row in connection.execute(query)]


def task_of(row: Any) -> TaskRow:
    """The task that a row of the table describes."""
    return TaskRow(**{**row._mapping, "state": TaskState(row.state)})


def _own(run_id: UUID, step_key: str | None = None) -> ColumnElement[bool]:
    """The run's own tasks, or the one of a step."""
    own = (task_run.c.run_id == run_id) & task_run.c.chunk_id.is_(None)
    return own if step_key is None else own & (task_run.c.step_key == step_key)


def get_task(connection: Connection, run_id: UUID, step_key: str) -> TaskRow:
    """One task."""
    return task_of(connection.execute(select(task_run).where(_own(run_id, step_key))).one())


def move_task(connection: Connection, run_id: UUID, step_key: str, state: TaskState, **values: Any) -> bool:
    """Compare-and-set a task into `state` with further column values; False when the table forbids it now."""
    table = task_run
    mine = _own(run_id, step_key)
    allowed = table.c.state.in_(predecessors(state))
    return connection.execute(table.update().where(mine, allowed).values(state=state, **values)).rowcount == 1


def begin_task(connection: Connection, run_id: UUID, step_key: str, now: datetime) -> bool:
    """PENDING, FAILED or SUSPENDED becomes RUNNING with one more attempt. A task that runs already, or that
    was paused, just goes on: being executed again after a crash, or continued, is no attempt that failed."""
    table = task_run
    mine = _own(run_id, step_key)
    startable = table.c.state.in_(predecessors(TaskState.RUNNING))
    paused = table.c.state == TaskState.SUSPENDED
    attempt = table.c.attempt + case((paused, 0), else_=1)
    values = {"state": TaskState.RUNNING, "attempt": attempt, "started_at": now, "failure": None}
    return connection.execute(table.update().where(mine, startable).values(values)).rowcount == 1


def task_begun(task: TaskRow, now: datetime) -> TaskRow:
    """What `begin_task` makes of a task that can begin."""
    attempt = task.attempt + (0 if task.state is TaskState.SUSPENDED else 1)
    return replace(task, state=TaskState.RUNNING, attempt=attempt, started_at=now, failure=None)


@dataclass(frozen=True)
class Attempt:
    """One attempt at a step that failed. `wait_seconds` is how long the next one waits, if there is one.

    What is not `counted` is only waited for; the same thing so many `times` in a row is one attempt.
    """

    execution: int
    number: int
    ended_at: datetime
    code: str
    message: str
    wait_seconds: float | None
    counted: bool = True
    times: int = 1

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**vars(self), "ended_at": self.ended_at.isoformat()}


def record_attempt(connection: Connection, run_id: UUID, step_key: str, attempt: Attempt) -> None:
    """Write down an attempt that failed. If another follows, it counts as begun: a read that had succeeded
    and fails when it is repeated counts too, otherwise it would be tried for ever."""
    mine = _own(run_id, step_key)
    begun = task_run.c.state.in_((TaskState.RUNNING, TaskState.SUCCEEDED))
    before = connection.scalar(select(task_run.c.attempts).where(mine, begun).with_for_update())
    if before is not None:
        more = task_run.c.attempt + (1 if attempt.counted and attempt.wait_seconds is not None else 0)
        values = {"attempts": _followed(before, attempt), "attempt": more}
        connection.execute(task_run.update().where(mine, begun).values(values))


def _followed(before: list[dict[str, Any]], attempt: Attempt) -> list[dict[str, Any]]:
    """The attempts with one more. To wait a thousand times is not worth a thousand entries."""
    same = {"execution": attempt.execution, "code": attempt.code, "counted": False}
    if before and not attempt.counted and same.items() <= before[-1].items():
        return [*before[:-1], replace(attempt, times=before[-1]["times"] + 1).to_dict()]
    return [*before, attempt.to_dict()]


def finish_tasks(
    connection: Connection, run_id: UUID, state: TaskState, now: datetime,
    *, keys: Collection[str] | None = None, failure: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Move every task that may go to `state` there, those of chunks too; or the run's own of `keys`."""
    table = task_run
    chosen = [table.c.run_id == run_id, table.c.state.in_(predecessors(state))]
    if keys is not None:
        chosen += [table.c.chunk_id.is_(None), table.c.step_key.in_(keys)]
    values = {"state": state, "finished_at": now, "failure": failure}
    connection.execute(table.update().where(*chosen).values(values))


def suspend_tasks(connection: Connection, run_id: UUID) -> None:
    """Tasks that run are paused with their run."""
    mine = (task_run.c.run_id == run_id) & (task_run.c.state == TaskState.RUNNING)
    connection.execute(task_run.update().where(mine).values(state=TaskState.SUSPENDED))


def set_task_progress(connection: Connection, run_id: UUID, step_key: str, counts: Mapping[str, int]) -> None:
    """Write how far a task is that runs or is paused; not a state change."""
    mine = _own(run_id, step_key)
    going = task_run.c.state.in_((TaskState.RUNNING, TaskState.SUSPENDED))
    connection.execute(task_run.update().where(mine, going).values(counts=dict(counts)))


def succeed_task(
    connection: Connection, run_id: UUID, step_key: str, now: datetime,
    counts: Mapping[str, int], measures: Mapping[str, Any],
) -> None:  # fmt: skip
    """RUNNING becomes SUCCEEDED with what it counted; repeated while the run goes on, a step counts again."""
    values = {"counts": dict(counts), "measures": dict(measures)}
    ended = {"finished_at": now, "failure": None}
    if not move_task(connection, run_id, step_key, TaskState.SUCCEEDED, **ended, **values):
        mine = _own(run_id, step_key)
        done = task_run.c.state == TaskState.SUCCEEDED
        running = exists().where(workflow_run.c.id == run_id, workflow_run.c.state == RunState.RUNNING)
        connection.execute(task_run.update().where(mine, done, running).values(**values))


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
