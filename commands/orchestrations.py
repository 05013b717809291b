"""The orchestrations of runs, through a durable client. PostgreSQL says what should be; these only wake."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from durabletask.client import OrchestrationStatus

from kernel.traces import trace_of
from orchestrators.names import WAKE, WORKFLOW_RUN, approval_event, instance_id

logger = logging.getLogger(__name__)


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

    def decided(self, run_id: UUID, execution: int, approval_id: UUID) -> None:
        """End its wait for this approval, if it waits for it."""
        ...

    def liveness(self, run_id: UUID, execution: int) -> Liveness:
        """Whether it still goes on."""
        ...

    def stop(self, run_id: UUID, execution: int) -> None:
        """Terminate it. An activity that runs is not broken off, but the run no longer listens to it; what it
        has begun for chunks stops by itself for the same reason, and nested runs go on."""
        ...

    def purge(self, run_id: UUID, execution: int) -> None:
        """Delete its history once it has ended."""
        ...

    def purge_begun_before(self, time: datetime) -> int:
        """Delete the histories of all orchestrations that began before a time and have ended; returns how
        many. Those for chunks and pages are not known by name."""
        ...


def told(run_id: UUID, call: Callable[[], object]) -> bool:
    """Whether durable execution could be told. The database says what should be: a sweep tells it later."""
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - whatever its client raises, what is committed stays so
        logger.warning("durable execution: %s", trace_of(exc), extra={"run_id": str(run_id)})
        return False
    return True


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

    def purge_orchestrations_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationStatus] | None = None,
        recursive: bool = False,
        timeout: timedelta | None = None,
    ) -> Any:
        """Delete what is kept of those that were created in that time and are in these states."""
        ...


PURGE_TIME = timedelta(minutes=1)
_ENDED = [OrchestrationStatus.COMPLETED, OrchestrationStatus.FAILED, OrchestrationStatus.TERMINATED]
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

    def decided(self, run_id: UUID, execution: int, approval_id: UUID) -> None:
        """An event of its own for every approval: a later one does not end by it."""
        instance = instance_id(run_id, execution)
        self._client.raise_orchestration_event(instance, approval_event(str(approval_id)))

    def liveness(self, run_id: UUID, execution: int) -> Liveness:
        """By the instance's runtime status."""
        state = self._client.get_orchestration_state(instance_id(run_id, execution), fetch_payloads=False)
        if state is None:
            return Liveness.MISSING
        return Liveness.ALIVE if state.runtime_status in _ALIVE else Liveness.ENDED

    def stop(self, run_id: UUID, execution: int) -> None:
        """Terminate the instance, and not those below it: nested runs have instances of their own. Azure's
        extension leaves these alone in any case."""
        self._client.terminate_orchestration(instance_id(run_id, execution), recursive=False)

    def purge(self, run_id: UUID, execution: int) -> None:
        """Purge the instance. Those below it are found by their age: Azure's extension purges one at a time,
        and an instance that went on with a new history does not know what it had begun before."""
        self._client.purge_orchestration(instance_id(run_id, execution), recursive=False)

    def purge_begun_before(self, time: datetime) -> int:
        """Purge by time; what does not get done in the time of one call is done by the next."""
        purged = self._client.purge_orchestrations_by(
            created_time_to=time, runtime_status=_ENDED, timeout=PURGE_TIME
        )
        return int(purged.deleted_instance_count)
