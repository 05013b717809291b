"""Starts runs through a durable client: the only thing commands know of orchestrators is their names."""

from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

from orchestrators.names import WORKFLOW_RUN, instance_id

type Starter = Callable[[UUID], None]
"""Schedules the orchestration of a run; doing so twice starts it once."""


class DurableClient(Protocol):
    """The part of the durable client that commands use."""

    def schedule_new_orchestration(
        self, orchestrator: str, *, input: Any = None, instance_id: str | None = None
    ) -> str:
        """Schedule an orchestration and return its instance id."""
        ...


def starter_for(client: DurableClient) -> Starter:
    """Starts runs through this client."""

    def start(run_id: UUID) -> None:
        client.schedule_new_orchestration(
            WORKFLOW_RUN, input={"run_id": str(run_id)}, instance_id=instance_id(run_id)
        )

    return start
