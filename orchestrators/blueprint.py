"""Registers the orchestrators."""

import azure.durable_functions as df

from orchestrators.chunk_run import chunk_run
from orchestrators.dispatch_page import dispatch_page
from orchestrators.names import CHUNK_RUN, DISPATCH_PAGE, WORKFLOW_RUN
from orchestrators.workflow_run import workflow_run


def orchestrator_blueprint() -> df.Blueprint:
    """All orchestrators under their wire names."""
    blueprint = df.Blueprint()
    blueprint.orchestration_trigger(context_name="context", orchestration=WORKFLOW_RUN)(workflow_run)
    blueprint.orchestration_trigger(context_name="context", orchestration=DISPATCH_PAGE)(dispatch_page)
    blueprint.orchestration_trigger(context_name="context", orchestration=CHUNK_RUN)(chunk_run)
    return blueprint
