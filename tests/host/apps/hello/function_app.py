import json
import logging

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


class OutOfStock(Exception):
    pass


@app.route(route="hello/{name?}", methods=["GET", "POST"])
def hello(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("hello was called")
    return func.HttpResponse(f"Hello {req.route_params.get('name', 'nobody')}")


@app.route(route="start/{orchestrator}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    instance = await client.schedule_new_orchestration(req.route_params["orchestrator"], input=req.get_json())
    state = await client.wait_for_orchestration_completion(instance, timeout=20)
    return func.HttpResponse(json.dumps(answer(state)), mimetype="application/json")


@app.route(route="start_sync/{orchestrator}", methods=["POST"])
@app.durable_client_input(client_name="client")
def start_sync(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
    instance = client.schedule_new_orchestration(req.route_params["orchestrator"], input=req.get_json())
    state = client.wait_for_orchestration_completion(instance, timeout=20)
    return func.HttpResponse(json.dumps(answer(state)), mimetype="application/json")


def answer(state):
    failure = state.failure_details
    return {
        "status": state.runtime_status.name,
        "output": json.loads(state.serialized_output) if state.serialized_output else None,
        "error_type": failure.error_type if failure else None,
        "error_message": failure.message if failure else None,
    }


@app.orchestration_trigger(context_name="context")
def double_all(context, numbers):
    doubled = []
    for number in numbers:
        doubled.append((yield context.call_activity("double", input=number)))
    return {"doubled": doubled, "version": context.version}


@app.orchestration_trigger(context_name="context")
def sell(context, quantity):
    try:
        yield context.call_activity("take", input=quantity)
    except Exception as error:
        return {"kind": error.details.error_type, "message": error.details.message}


@app.orchestration_trigger(context_name="context")
def broken(context, quantity):
    yield context.call_activity("take", input=quantity)


@app.activity_trigger(input_name="number")
def double(number: int) -> int:
    return number * 2


@app.activity_trigger(input_name="quantity")
async def take(quantity: int) -> int:
    raise OutOfStock("only 'three' left, \"not\" four")
