"""Orchestrations of nested runs."""

from typing import Any
from uuid import UUID

from durabletask.task import OrchestrationContext, Task

from orchestrators.names import WORKFLOW_RUN, instance_id


def start_child(context: OrchestrationContext, child: str, execution: int) -> Task[Any]:
    """The orchestration of a nested run's execution. It goes by that run's own name, so that a sweep finds it
    and does not start it twice."""
    given: dict[str, Any] = {"run_id": child, **({"execution": execution} if execution else {})}
    instance = instance_id(UUID(child), execution)
    return context.call_sub_orchestrator(WORKFLOW_RUN, input=given, instance_id=instance, return_type=dict)
