"""A run that FAILED begins again: its next execution, its deadline, and what it was refused."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID

from kernel.durations import parse_duration
from store import operating, postings
from store.runs import RunRow, get_tasks
from store.tables import chunk_run, posting
from store.workflows import version_by_id
from workflows.states import PostingState, TaskState

_STANDING = (TaskState.SUCCEEDED, TaskState.SKIPPED, TaskState.CANCELLED)
"""Chunks that are not run again."""


def retry_run(connection: Connection, run: RunRow, now: datetime) -> int | None:
    """Let the run begin again, with all the time that its definition gives it. Returns how many records that
    it was refused are sent again; `None` when the run is not as it was read."""
    timeout = version_by_id(connection, run.version_id).definition.get("timeout")
    deadline = now + parse_duration(timeout) if timeout else None
    if not operating.begin_again(connection, run, deadline, now):
        return None
    repeated = [task for task in get_tasks(connection, run.id) if task.state is TaskState.FAILED]
    keys = [task.step_key for task in repeated]
    dispatches = [task.step_key for task in repeated if task.verb == "dispatch"]
    released = postings.release_rejected(connection, run.id, keys, now)
    return released + _release_of_chunks(connection, run.id, dispatches, now)


def _release_of_chunks(
    connection: Connection, run_id: UUID, dispatches: Collection[str], now: datetime
) -> int:
    """REJECTED becomes INTENDED for what chunks were refused that are to be run again. Rows are locked in the
    order of keys; see `store.postings.lock_postings`."""
    if not dispatches:
        return 0
    again = chunk_run.c.step_key.in_(dispatches) & chunk_run.c.state.not_in(_STANDING)
    joined = posting.join(chunk_run, posting.c.chunk_id == chunk_run.c.id)
    refused = (posting.c.run_id == run_id) & (posting.c.state == PostingState.REJECTED)
    locked = select(posting.c.id).select_from(joined).where(refused, again)
    ordered = locked.order_by(posting.c.idempotency_key).with_for_update(of=posting)
    ids = list(connection.execute(ordered).scalars())
    mine = posting.c.id == func.any(bindparam("ids", ids, type_=ARRAY(PGUUID(as_uuid=True))))
    values = {"state": PostingState.INTENDED, "reason": None, "sent_at": None, "updated_at": now}
    return connection.execute(posting.update().where(mine).values(**values)).rowcount if ids else 0
