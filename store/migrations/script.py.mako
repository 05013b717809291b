"""${message}"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Expand only: old and new code run side by side during a rolling update."""
    ${upgrades if upgrades else "op.execute('')"}
