"""Names of orchestrators: wire format, never changed."""

from uuid import UUID

WORKFLOW_RUN = "workflow_run"


def instance_id(run_id: UUID) -> str:
    """The orchestration instance of a run: its own id, so that starting it twice starts it once."""
    return str(run_id)
