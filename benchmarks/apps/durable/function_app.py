"""Sub-orchestrations with one trivial activity each, started over HTTP."""

import json
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from durabletask import task

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

PAGE = 50

type Steps = Generator[task.Task[Any], Any, Any]


@app.route(route="run/{name}/{value:int}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def run(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    """Start an orchestration and answer with its result."""
    value = int(req.route_params["value"])
    instance = await client.schedule_new_orchestration(req.route_params["name"], input=value)
    state = await client.wait_for_orchestration_completion(instance, timeout=300)
    return func.HttpResponse(json.dumps(state.get_output() if state else None), mimetype="application/json")


@app.orchestration_trigger(context_name="context")
def one(context: task.OrchestrationContext, value: int) -> Steps:
    """One activity."""
    return (yield context.call_activity("step", input=value))


@app.orchestration_trigger(context_name="context")
def page(context: task.OrchestrationContext, count: int) -> Steps:
    """Some sub-orchestrations."""
    results = yield task.when_all([context.call_sub_orchestrator("one", input=n) for n in range(count)])
    return sum(results)


@app.orchestration_trigger(context_name="context")
def pages(context: task.OrchestrationContext, count: int) -> Steps:
    """Many sub-orchestrations, page by page."""
    calls: list[task.Task[Any]] = [
        context.call_sub_orchestrator("page", input=PAGE) for _ in range(count // PAGE)
    ]
    results = yield task.when_all(calls)
    return sum(results)


@app.activity_trigger(input_name="value")
def step(value: int) -> int:
    """A trivial activity."""
    return value + 1
