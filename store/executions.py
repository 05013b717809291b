"""How far a run's execution is: its segments, its signs of life, and the runs whose execution was lost."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, func, or_, select

from store.driver import execute
from store.tables import workflow_run
from workflows.states import RunState

_run = workflow_run.c
_OPEN = (RunState.RUNNING, RunState.SUSPENDED)


_BEGIN = (
    "UPDATE sluice.workflow_run SET starts = starts + 1, heartbeat_at = %(now)s, wake_at = NULL"
    " WHERE id = %(id)s AND execution = %(execution)s RETURNING starts"
)


def begin_segment(connection: Connection, run_id: UUID, execution: int, now: datetime) -> int:
    """Count one more start of the segment; returns how many began since the last progress.

    Whatever ends a segment in an orderly way resets the count, so that only deaths of its worker remain.
    """
    row = execute(connection, _BEGIN, {"id": run_id, "execution": execution, "now": now}).fetchone()
    return 0 if row is None else int(row["starts"])


_ADVANCE = (
    "UPDATE sluice.workflow_run SET context_execution ="
    " CASE segment WHEN %(segment)s THEN context_execution ELSE execution END,"
    " held_step = CASE segment WHEN %(segment)s THEN held_step END,"
    " segment = %(segment)s, starts = 0, recoveries = 0, heartbeat_at = %(now)s"
    " WHERE id = %(id)s AND execution = %(execution)s AND state = 'RUNNING' RETURNING id"
)


def advance(connection: Connection, run_id: UUID, execution: int, segment: int, now: datetime) -> bool:
    """A running execution goes on at `segment`; False when another execution has taken over.

    Where it goes on with the same segment, the context that this begins with stays the one it was, and so
    does the step at which it waited for people.
    """
    given = {"id": run_id, "execution": execution, "segment": segment, "now": now}
    return execute(connection, _ADVANCE, given).fetchone() is not None


def hold(connection: Connection, run_id: UUID, execution: int, step_key: str, now: datetime) -> bool:
    """RUNNING becomes SUSPENDED until people have decided; it goes on at `step_key`. False when something is
    asked of the run, or another execution has taken over."""
    mine = (_run.id == run_id) & (_run.execution == execution) & (_run.state == RunState.RUNNING)
    held = {"waits_for": "approval", "held_step": step_key, "held_execution": execution}
    values = {"state": RunState.SUSPENDED, **held, "wake_at": None, "starts": 0, "recoveries": 0}
    change = workflow_run.update().where(mine, _run.requested.is_(None)).values(**values, heartbeat_at=now)
    return connection.execute(change).rowcount == 1


def rouse_decided(connection: Connection, run_id: UUID, now: datetime) -> bool:
    """A run that waits for people is due: SUSPENDED becomes RUNNING, unless somebody has paused it, and one
    that waits for its chunks looks at them at once. False when it is due anyway."""
    return execute(connection, _ROUSE_DECIDED, {"id": run_id, "now": now}).fetchone() is not None


_ROUSE_DECIDED = (
    "UPDATE sluice.workflow_run SET state = 'RUNNING', wake_at = %(now)s,"
    " waits_for = CASE state WHEN 'RUNNING' THEN waits_for END"
    " WHERE id = %(id)s AND (state = 'SUSPENDED' AND waits_for = 'approval'"
    " OR state = 'RUNNING' AND wake_at > %(now)s) RETURNING id"
)


def note_life(connection: Connection, run_id: UUID, now: datetime) -> None:
    """The execution has got something done: deaths before it no longer count against the run."""
    values = {"starts": 0, "recoveries": 0, "heartbeat_at": now}
    connection.execute(workflow_run.update().where(_run.id == run_id).values(values))


def await_until(
    connection: Connection, run_id: UUID, execution: int, wake_at: datetime, now: datetime
) -> None:
    """The execution waits on purpose until `wake_at`."""
    mine = (_run.id == run_id) & (_run.execution == execution)
    values = {"wake_at": wake_at, "starts": 0, "heartbeat_at": now}
    connection.execute(workflow_run.update().where(mine).values(values))


def forgive_start(connection: Connection, run_id: UUID, execution: int) -> None:
    """The segment stopped in an orderly way, though it could not record anything."""
    mine = (_run.id == run_id) & (_run.execution == execution)
    connection.execute(workflow_run.update().where(mine).values(starts=0))


@dataclass(frozen=True)
class OpenRun:
    """A run that should have an execution, and what is known of that."""

    id: UUID
    state: RunState
    execution: int
    segment: int
    recoveries: int
    requested: str | None
    heartbeat_at: datetime | None
    wake_at: datetime | None
    deadline_at: datetime | None


def quiet_runs(
    connection: Connection, running_before: datetime, suspended_before: datetime, limit: int
) -> list[OpenRun]:
    """Open runs without a sign of life since those times, the quietest first."""
    names = [part.name for part in workflow_run.c if part.name in OpenRun.__dataclass_fields__]
    life = func.greatest(_run.heartbeat_at, _run.wake_at, _run.created_at)
    quiet = or_(
        and_(_run.state == RunState.RUNNING, life < running_before),
        and_(_run.state == RunState.SUSPENDED, life < suspended_before),
    )
    query = select(*(workflow_run.c[name] for name in names)).where(_run.state.in_(_OPEN), quiet)
    rows = connection.execute(query.order_by(_run.heartbeat_at).limit(limit))
    return [OpenRun(**{**row._mapping, "state": RunState(row.state)}) for row in rows]


def asleep(connection: Connection, overdue_before: datetime, now: datetime, limit: int) -> list[OpenRun]:
    """Open runs that wait although they should not: the wait is over, an operator has asked for something,
    or the run is past its deadline."""
    names = [part.name for part in workflow_run.c if part.name in OpenRun.__dataclass_fields__]
    waits = and_(_run.state == RunState.RUNNING, _run.wake_at.is_not(None))
    late = or_(
        and_(waits, or_(_run.wake_at < overdue_before, _run.requested.is_not(None), _run.deadline_at < now)),
        and_(_run.state == RunState.SUSPENDED, _run.deadline_at < now),
    )
    query = select(*(workflow_run.c[name] for name in names)).where(_run.state.in_(_OPEN), late)
    rows = connection.execute(query.order_by(_run.heartbeat_at).limit(limit))
    return [OpenRun(**{**row._mapping, "state": RunState(row.state)}) for row in rows]


def recover(connection: Connection, run: OpenRun, now: datetime) -> bool:
    """Compare-and-set the next execution of a run whose present one is lost."""
    mine = (_run.id == run.id) & (_run.execution == run.execution) & _run.state.in_(_OPEN)
    values = {
        "execution": run.execution + 1,
        "recoveries": _run.recoveries + 1,
        "heartbeat_at": now,
    }
    return connection.execute(workflow_run.update().where(mine).values(values)).rowcount == 1


def rouse(connection: Connection, run_id: UUID, now: datetime) -> bool:
    """SUSPENDED becomes RUNNING and is due at once."""
    waits = (_run.id == run_id) & (_run.state == RunState.SUSPENDED)
    values = {"state": RunState.RUNNING, "wake_at": now, "waits_for": None}
    return connection.execute(workflow_run.update().where(waits).values(values)).rowcount == 1


def touch(connection: Connection, run_id: UUID, execution: int, now: datetime) -> None:
    """The execution was looked at and is well."""
    mine = (_run.id == run_id) & (_run.execution == execution)
    connection.execute(workflow_run.update().where(mine).values(heartbeat_at=now))
