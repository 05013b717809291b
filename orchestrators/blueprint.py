"""Registers the orchestrators."""

import azure.durable_functions as df

from orchestrators.names import WORKFLOW_RUN
from orchestrators.workflow_run import workflow_run


def orchestrator_blueprint() -> df.Blueprint:
    """All orchestrators under their wire names."""
    blueprint = df.Blueprint()
    blueprint.orchestration_trigger(context_name="context", orchestration=WORKFLOW_RUN)(workflow_run)
    return blueprint
