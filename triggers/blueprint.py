"""Registers the HTTP endpoints and the sweep."""

from collections.abc import Sequence

import azure.durable_functions as df
import azure.functions as func

from commands.deciding import pass_deadlines
from commands.deployment import Deployment
from commands.orchestrations import DurableOrchestrations
from commands.purging import sweep_leftovers
from commands.recovery import sweep_runs
from triggers import (
    api_keys,
    approvals,
    audit,
    chunks,
    connectors,
    dead_letters,
    feed,
    health,
    notifications,
    operating,
    postings,
    runs,
    workflows,
)
from triggers.fallback import METHODS, fallback_endpoint
from triggers.http import Endpoint, Identify, Request, answer
from triggers.openapi import openapi_endpoint

ENDPOINTS = (
    *workflows.ENDPOINTS,
    *connectors.ENDPOINTS,
    *runs.ENDPOINTS,
    *chunks.ENDPOINTS,
    *feed.ENDPOINTS,
    *operating.ENDPOINTS,
    *postings.ENDPOINTS,
    *dead_letters.ENDPOINTS,
    *approvals.ENDPOINTS,
    *audit.ENDPOINTS,
    *notifications.ENDPOINTS,
    *api_keys.ENDPOINTS,
    *health.ENDPOINTS,
)
API = "api/"


def trigger_blueprint(deployment: Deployment, identify: Identify) -> df.Blueprint:
    """All triggers. `identify` says who makes a request; the host lets everybody through: its keys say
    nothing about who asks."""
    blueprint = df.Blueprint()
    shared = deployment, identify
    for endpoint in (*ENDPOINTS, openapi_endpoint(ENDPOINTS)):
        _register(blueprint, endpoint, API + endpoint.path, [endpoint.method], *shared)
    fallback = fallback_endpoint(ENDPOINTS)
    _register(blueprint, fallback, fallback.path, METHODS, *shared)
    _register_sweeps(blueprint, deployment)
    notifications.register_timer(blueprint, deployment)
    return blueprint


def _register(
    blueprint: df.Blueprint,
    endpoint: Endpoint,
    route: str,
    methods: Sequence[str],
    deployment: Deployment,
    identify: Identify,
) -> None:
    @blueprint.function_name(endpoint.name)
    @blueprint.route(route, methods=list(methods), auth_level=func.AuthLevel.ANONYMOUS)
    @blueprint.durable_client_input(client_name="client")
    def shell(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
        return answer(endpoint, Request(req, deployment, identify, DurableOrchestrations(client)))


def _register_sweeps(blueprint: df.Blueprint, deployment: Deployment) -> None:
    @blueprint.function_name("sweep_runs")
    @blueprint.timer_trigger(arg_name="timer", schedule="0 * * * * *")
    @blueprint.durable_client_input(client_name="client")
    def runs_sweep(timer: func.TimerRequest, client: df.SyncDurableFunctionsClient) -> None:
        sweep_runs(deployment, DurableOrchestrations(client))

    @blueprint.function_name("sweep_approvals")
    @blueprint.timer_trigger(arg_name="timer", schedule="15 * * * * *")
    @blueprint.durable_client_input(client_name="client")
    def approvals_sweep(timer: func.TimerRequest, client: df.SyncDurableFunctionsClient) -> None:
        pass_deadlines(deployment, DurableOrchestrations(client))

    @blueprint.function_name("sweep_leftovers")
    @blueprint.timer_trigger(arg_name="timer", schedule="30 */5 * * * *")
    @blueprint.durable_client_input(client_name="client")
    def leftovers_sweep(timer: func.TimerRequest, client: df.SyncDurableFunctionsClient) -> None:
        sweep_leftovers(deployment, DurableOrchestrations(client))
