"""The orchestrations of runs, through a durable client. PostgreSQL says what should be; these only wake."""

from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from durabletask.client import OrchestrationStatus

from orchestrators.names import WAKE, WORKFLOW_RUN, instance_id


class Liveness(StrEnum):
    """What durable execution knows of an orchestration."""

    ALIVE = "alive"
    ENDED = "ended"
    MISSING = "missing"


class Orchestrations(Protocol):
    """What commands may do with the orchestrations of runs. Every call may be repeated."""

    def start(self, run_id: UUID, execution: int = 0, segment: int = 0) -> None:
        """Begin an execution at a segment; one that has begun is left alone."""
        ...

    def wake(self, run_id: UUID, execution: int) -> None:
        """End its wait, if it waits."""
        ...

    def liveness(self, run_id: UUID, execution: int) -> Liveness:
        """Whether it still goes on."""
        ...

    def stop(self, run_id: UUID, execution: int) -> None:
        """Terminate it. An activity that runs is not broken off, but the run no longer listens to it."""
        ...

    def purge(self, run_id: UUID, execution: int) -> None:
        """Delete its history once it has ended."""
        ...


class DurableClient(Protocol):
    """The part of the durable client that is used here."""

    def schedule_new_orchestration(
        self, orchestrator: str, *, input: Any = None, instance_id: str | None = None
    ) -> str:
        """Schedule an orchestration and return its instance id."""
        ...

    def get_orchestration_state(self, instance_id: str, *, fetch_payloads: bool = True) -> Any:
        """Its state, or `None`."""
        ...

    def raise_orchestration_event(self, instance_id: str, event_name: str, *, data: Any = None) -> None:
        """Send it an event."""
        ...

    def terminate_orchestration(self, instance_id: str, *, recursive: bool = True) -> None:
        """End it at once."""
        ...

    def purge_orchestration(self, instance_id: str, recursive: bool = True) -> Any:
        """Delete what is kept of it."""
        ...


_ALIVE = frozenset({OrchestrationStatus.PENDING, OrchestrationStatus.RUNNING, OrchestrationStatus.SUSPENDED})


class DurableOrchestrations:
    """`Orchestrations` over a durable client."""

    def __init__(self, client: DurableClient) -> None:
        self._client = client

    def start(self, run_id: UUID, execution: int = 0, segment: int = 0) -> None:
        """Scheduling is idempotent: the instance id names the run and its execution."""
        given: dict[str, Any] = {"run_id": str(run_id)}
        if execution:
            given |= {"execution": execution, "segment": segment}
        self._client.schedule_new_orchestration(
            WORKFLOW_RUN, input=given, instance_id=instance_id(run_id, execution)
        )

    def wake(self, run_id: UUID, execution: int) -> None:
        """An event to an instance that has ended or does not wait does no harm."""
        self._client.raise_orchestration_event(instance_id(run_id, execution), WAKE)

    def liveness(self, run_id: UUID, execution: int) -> Liveness:
        """By the instance's runtime status."""
        state = self._client.get_orchestration_state(instance_id(run_id, execution), fetch_payloads=False)
        if state is None:
            return Liveness.MISSING
        return Liveness.ALIVE if state.runtime_status in _ALIVE else Liveness.ENDED

    def stop(self, run_id: UUID, execution: int) -> None:
        """Terminate the instance."""
        self._client.terminate_orchestration(instance_id(run_id, execution))

    def purge(self, run_id: UUID, execution: int) -> None:
        """Purge the instance."""
        self._client.purge_orchestration(instance_id(run_id, execution))
