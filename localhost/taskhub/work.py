"""What a hub hands to whoever runs the app's functions, and what it gets back.

Everything is encoded: requests and answers are the protocol buffers of the durabletask service. Whoever
implements `Dispatcher` may call functions directly, or pass the bytes on to another thread or process.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ActivityItem:
    """One activity to run. `input` is serialised; the trace fields are its orchestration's (W3C)."""

    name: str
    input: str | None
    instance_id: str
    task_id: int
    trace_parent: str = ""
    trace_state: str = ""


@dataclass(frozen=True, slots=True)
class ActivityOutcome:
    """`result` is the serialised output, or None beside a `failure` (an encoded TaskFailureDetails)."""

    result: str | None = None
    failure: bytes | None = None


class Dispatcher(Protocol):
    """Runs work items in this process. Its methods are awaited on the loop that attached it to the hub.

    No method raises for what user code does: failures are part of the answers.
    """

    async def orchestrate(self, name: str, request: bytes) -> bytes:
        """Run one turn: encoded OrchestratorRequest in, OrchestratorResponse out, without its token."""
        ...

    async def run_activity(self, item: ActivityItem) -> ActivityOutcome:
        """Run an activity once."""
        ...

    async def run_entity_batch(self, name: str, request: bytes) -> bytes:
        """Run a batch: encoded EntityBatchRequest in, EntityBatchResult out, without its token."""
        ...
