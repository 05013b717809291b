"""How far dispatches are: counts of their chunks, how fast they end, and when all will have."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PGUUID

from store.chunks import count_chunks
from store.runs import RunRow, TaskRow
from store.tables import chunk_run
from workflows.states import RunState, TaskState

WINDOW = timedelta(minutes=1)
"""The rate is that of the last minute."""
_GOING = (TaskState.RUNNING, TaskState.SUSPENDED)
_TOLD = {
    "succeeded": TaskState.SUCCEEDED,
    "failed": TaskState.FAILED,
    "skipped": TaskState.SKIPPED,
}


@dataclass(frozen=True)
class Progress:
    """One dispatch. `total` is what is planned so far; more may come while it is `planning`.

    `waiting` have not begun, are paused, or wait for their next attempt. `rate` is chunks a second, `None`
    when the dispatch does not go on; `eta` is `None` when nobody can know.
    """

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    running: int = 0
    waiting: int = 0
    planning: bool = False
    rate: float | None = None
    eta: datetime | None = None


def progress_of(connection: Connection, run: RunRow, task: TaskRow, now: datetime) -> Progress:
    """How far the dispatch is whose task this is. Counts fit together when the transaction is frozen."""
    if task.state is TaskState.PENDING:
        return Progress()
    if task.state is TaskState.SUCCEEDED and task.counts is not None:
        counts = Counter({state: task.counts.get(name, 0) for name, state in _TOLD.items()})
    else:
        counts = count_chunks(connection, run.id, task.step_key)
    held_up = _retrying(connection, task, now) if counts[TaskState.RUNNING] else 0
    rate = _rate(connection, task, now) if _goes_on(run, task) else None
    planning = task.state in _GOING and not (task.planning or {}).get("complete", False)
    waiting = counts[TaskState.PENDING] + counts[TaskState.SUSPENDED] + held_up
    running = counts[TaskState.RUNNING] - held_up
    left = waiting + running
    return Progress(
        counts.total(), counts[TaskState.SUCCEEDED], counts[TaskState.FAILED], counts[TaskState.SKIPPED],
        counts[TaskState.CANCELLED], running, waiting, planning, rate,
        now + timedelta(seconds=left / rate) if rate and left and not planning else None,
    )  # fmt: skip


def _goes_on(run: RunRow, task: TaskRow) -> bool:
    return run.state is RunState.RUNNING and task.state is TaskState.RUNNING


def _retrying(connection: Connection, task: TaskRow, now: datetime) -> int:
    """Chunks that have begun and wait on purpose."""
    chunk = chunk_run.c
    mine = (chunk.run_id == task.run_id) & (chunk.step_key == task.step_key)
    waits = (chunk.state == TaskState.RUNNING) & (chunk.wake_at > now)
    return connection.execute(select(func.count()).where(mine, waits)).scalar_one()


# The last thousand tell as much as all of a minute would, and are read in no time.
_RECENT = text(
    "SELECT count(*) AS ended, min(finished_at) AS first, min(started_at) AS begun FROM ("
    " SELECT finished_at, started_at FROM sluice.chunk_run"
    " WHERE run_id = :run_id AND step_key = :step_key AND state IN ('SUCCEEDED', 'FAILED')"
    " AND finished_at > :since ORDER BY finished_at DESC LIMIT :most) recent"
).bindparams(
    bindparam("run_id", type_=PGUUID(as_uuid=True)), bindparam("since", type_=TIMESTAMP(timezone=True))
)
_MOST = 1_000


def _rate(connection: Connection, task: TaskRow, now: datetime) -> float:
    """Chunks that end within a second: over the last minute, or since the first of them began, or since the
    first of the last thousand ended."""
    since = now - WINDOW
    given = {"run_id": task.run_id, "step_key": task.step_key, "since": since, "most": _MOST}
    ended, first, begun = connection.execute(_RECENT, given).one()
    if not ended:
        return 0.0
    begin = max(since, first if ended == _MOST else begun or since)
    seconds: float = max(1.0, (now - begin).total_seconds())
    return round(int(ended) / seconds, 3)
