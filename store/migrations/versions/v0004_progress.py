"""Progress of dispatches: how many chunks have ended within the last minute."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add an index that a chunk enters once, when it has been worked on."""
    op.execute(
        "CREATE INDEX chunk_run_finished ON sluice.chunk_run (run_id, step_key, finished_at)"
        " WHERE state IN ('SUCCEEDED','FAILED')"
    )
