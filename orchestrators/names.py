"""Names of orchestrators, events and versions: wire format, never changed."""

from uuid import UUID

WORKFLOW_RUN = "workflow_run"
DISPATCH_PAGE = "dispatch_page"
CHUNK_RUN = "chunk_run"
WAKE = "wake"
"""Ends a wait early: an operator or a sweep has changed something; PostgreSQL says what."""


def approval_event(approval_id: str) -> str:
    """The event that tells a run that people have decided; PostgreSQL says what."""
    return f"approval-{approval_id}"


UNWAKEABLE_VERSIONS = (None, "", "1.0.0")
"""Orchestrations that began under these only wait for their timers."""
DEAF_VERSIONS = (*UNWAKEABLE_VERSIONS, "1.1.0", "1.2.0")
"""Orchestrations that began under these wait for people as for anything else, and tell nobody."""


def instance_id(run_id: UUID, execution: int = 0) -> str:
    """The orchestration instance of a run's execution: starting it twice starts it once."""
    return f"{run_id}-{execution}" if execution else str(run_id)
