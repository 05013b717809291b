"""Which records a write works on: what is kept of them with its task."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection

from store.tables import task_run
from workflows.states import TaskState


def note_batch(
    connection: Connection, run_id: UUID, step_key: str, digest: str, counts: Mapping[str, int]
) -> None:
    """Write down the digest of a running write's records and how they stand; not a state change."""
    mine = (task_run.c.run_id == run_id) & (task_run.c.step_key == step_key) & task_run.c.chunk_id.is_(None)
    running = task_run.c.state == TaskState.RUNNING
    values = {"batch_digest": digest, "counts": dict(counts)}
    connection.execute(task_run.update().where(mine, running).values(values))
