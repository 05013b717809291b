"""Which records a write works on: what is kept of them with its task."""

from collections.abc import Mapping
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from store.driver import execute

_NOTE = (
    "UPDATE sluice.task_run SET batch_digest = %(digest)s, counts = %(counts)s WHERE run_id = %(run_id)s"
    " AND step_key = %(step_key)s AND chunk_id IS NULL AND state = 'RUNNING'"
)


def note_batch(
    connection: Connection, run_id: UUID, step_key: str, digest: str, counts: Mapping[str, int]
) -> None:
    """Write down the digest of a running write's records and how they stand; not a state change."""
    place = {"run_id": run_id, "step_key": step_key}
    execute(connection, _NOTE, {**place, "digest": digest, "counts": Jsonb(dict(counts))})
