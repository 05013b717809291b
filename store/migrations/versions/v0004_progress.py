"""Progress of dispatches: chunks that have ended within the last minute, and the runs of chunks."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add indexes that a chunk enters once, when it has been worked on and when it gets a run of its own."""
    op.execute(
        "CREATE INDEX chunk_run_finished ON sluice.chunk_run (run_id, step_key, finished_at)"
        " WHERE state IN ('SUCCEEDED','FAILED')"
    )
    op.execute(
        "CREATE INDEX workflow_run_chunk ON sluice.workflow_run (parent_chunk_id)"
        " WHERE parent_chunk_id IS NOT NULL"
    )
