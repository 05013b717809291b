"""Registers the HTTP endpoints and the sweep."""

from collections.abc import Callable, Sequence

import azure.durable_functions as df
import azure.functions as func

from commands.deployment import Deployment
from commands.orchestrations import DurableOrchestrations
from commands.purging import sweep_leftovers
from commands.recovery import sweep_runs
from triggers import (
    audit,
    chunks,
    connectors,
    dead_letters,
    feed,
    health,
    operating,
    postings,
    runs,
    workflows,
)
from triggers.fallback import METHODS, fallback_endpoint
from triggers.http import Endpoint, Request, answer
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
    *audit.ENDPOINTS,
    *health.ENDPOINTS,
)
PRINCIPAL_HEADER = "X-MS-CLIENT-PRINCIPAL-NAME"
KEY_HOLDER = "function-key"


def trigger_blueprint(deployment: Deployment, *, platform_authentication: bool) -> df.Blueprint:
    """All triggers. Principal headers count only when the platform sets them."""
    blueprint = df.Blueprint()

    def actor(request: func.HttpRequest) -> str:
        named = request.headers.get(PRINCIPAL_HEADER) if platform_authentication else None
        return named or KEY_HOLDER

    for endpoint in (*ENDPOINTS, openapi_endpoint(ENDPOINTS)):
        _register(blueprint, endpoint, deployment, actor)
    _register(blueprint, fallback_endpoint(ENDPOINTS), deployment, actor, methods=METHODS)
    _register_sweeps(blueprint, deployment)
    return blueprint


def _register(
    blueprint: df.Blueprint,
    endpoint: Endpoint,
    deployment: Deployment,
    actor: Callable[[func.HttpRequest], str],
    methods: Sequence[str] = (),
) -> None:
    level = func.AuthLevel.ANONYMOUS if endpoint.anonymous else func.AuthLevel.FUNCTION

    @blueprint.function_name(endpoint.name)
    @blueprint.route(endpoint.path, methods=list(methods or [endpoint.method]), auth_level=level)
    @blueprint.durable_client_input(client_name="client")
    def shell(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
        return answer(endpoint, Request(req, deployment, actor(req), DurableOrchestrations(client)))


def _register_sweeps(blueprint: df.Blueprint, deployment: Deployment) -> None:
    @blueprint.function_name("sweep_runs")
    @blueprint.timer_trigger(arg_name="timer", schedule="0 * * * * *")
    @blueprint.durable_client_input(client_name="client")
    def runs_sweep(timer: func.TimerRequest, client: df.SyncDurableFunctionsClient) -> None:
        sweep_runs(deployment, DurableOrchestrations(client))

    @blueprint.function_name("sweep_leftovers")
    @blueprint.timer_trigger(arg_name="timer", schedule="30 */5 * * * *")
    @blueprint.durable_client_input(client_name="client")
    def leftovers_sweep(timer: func.TimerRequest, client: df.SyncDurableFunctionsClient) -> None:
        sweep_leftovers(deployment, DurableOrchestrations(client))
