"""Durable functions of every kind."""

import datetime
import json
import os
import time

import azure.durable_functions as df
import azure.functions as func
from counting import blueprint
from durabletask.entities import EntityInstanceId
from durabletask.task import TaskFailedError, when_all

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(blueprint)


class OutOfStock(Exception):
    """An error of the app."""


def as_json(value):
    return func.HttpResponse(json.dumps(value), mimetype="application/json")


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    instance = await client.schedule_new_orchestration(
        req.route_params["name"], input=req.get_json(), instance_id=req.params.get("id")
    )
    return client.create_check_status_response(req, instance)


@app.route(route="run/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def run(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    instance = await client.schedule_new_orchestration(req.route_params["name"], input=req.get_json())
    return as_json(summary(await client.wait_for_orchestration_completion(instance, timeout=20)))


@app.route(route="run_in_thread/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
def run_in_thread(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
    instance = client.schedule_new_orchestration(req.route_params["name"], input=req.get_json())
    return as_json(summary(client.wait_for_orchestration_completion(instance, timeout=20)))


@app.route(route="client")
@app.durable_client_input(client_name="client")
async def client_of(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    links = client.create_http_management_payload(req, "an id")
    return as_json({"hub": client.taskHubName, "limit": client.maxGrpcMessageSizeInBytes, "links": links})


def summary(state):
    failure = state.failure_details
    return {
        "status": state.runtime_status.name,
        "output": json.loads(state.serialized_output) if state.serialized_output else None,
        "failure": [failure.error_type, failure.message] if failure else None,
    }


@app.orchestration_trigger(context_name="context")
def double_all(context, numbers):
    doubled = []
    for number in numbers:
        doubled.append((yield context.call_activity("double", input=number)))
    return {"doubled": doubled, "version": context.version}


@app.orchestration_trigger(context_name="context", orchestration="Renamed")
def under_another_name(context, _):
    return (yield context.call_activity("Twice", input=21))


@app.orchestration_trigger(context_name="context")
def parent(context, numbers):
    first = yield context.call_sub_orchestrator(double_all_name(), input=numbers)
    return first["version"]


def double_all_name():
    return "double_all"


@app.orchestration_trigger(context_name="context")
def sell(context, kind):
    try:
        yield context.call_activity("take", input=kind)
    except TaskFailedError as error:
        details = error.details
        return {"type": details.error_type, "message": details.message, "trace": details.stack_trace}


@app.orchestration_trigger(context_name="context")
def raises(context, message):
    raise OutOfStock(message)


@app.orchestration_trigger(context_name="context")
def needs_retry(context, key):
    policy = df.RetryPolicy(
        first_retry_interval=datetime.timedelta(milliseconds=10), max_number_of_attempts=3
    )
    return (yield context.call_activity("third_time_lucky", input=key, retry_policy=policy))


@app.orchestration_trigger(context_name="context")
def fails_twice(context, key):
    return (yield context.call_activity("third_time_lucky", input=key))


@app.orchestration_trigger(context_name="context")
def waits(context, _):
    context.set_custom_status("waiting")
    approved = yield context.wait_for_external_event("approval")
    return {"approved": approved}


@app.orchestration_trigger(context_name="context")
def unknown_activity(context, _):
    yield context.call_activity("no_such_activity", input=1)


@app.orchestration_trigger(context_name="context")
def counts(context, amount):
    entity = EntityInstanceId("counter", "shared")
    yield context.call_entity(entity, "add", amount)
    return (yield context.call_entity(entity, "get"))


@app.activity_trigger(input_name="number")
def double(number: int) -> int:
    return number * 2


@app.activity_trigger(input_name="number", activity="Twice")
async def double_async(number: int) -> int:
    return number * 2


@app.activity_trigger(input_name="kind")
def take(kind: str) -> int:
    if kind == "not json":
        return object()
    if kind == "empty":
        raise OutOfStock
    try:
        raise KeyError("shelf")
    except KeyError as error:
        raise OutOfStock(f"only 'three' left: \"{kind}\" (é)") from error


tries = {}


@app.activity_trigger(input_name="key")
def third_time_lucky(key: str) -> int:
    tries[key] = tries.get(key, 0) + 1
    if tries[key] < 3:
        raise OutOfStock(f"try {tries[key]}")
    return tries[key]


@app.activity_trigger(input_name="seconds")
def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@app.orchestration_trigger(context_name="context")
def runs_slow(context, seconds):
    return (yield context.call_activity("slow", input=seconds))


@app.orchestration_trigger(context_name="context")
def processes(context, count):
    return (yield when_all([context.call_activity("process_id", input=number) for number in range(count)]))


@app.activity_trigger(input_name="number")
def process_id(number: int) -> int:
    time.sleep(0.05)
    return os.getpid()


crowd = []


@app.orchestration_trigger(context_name="context")
def crowds(context, count):
    seen = yield when_all([context.call_activity("join_crowd", input=number) for number in range(count)])
    return max(seen)


@app.activity_trigger(input_name="number")
def join_crowd(number: int) -> int:
    """How many are here at once."""
    crowd.append(number)
    time.sleep(0.1)
    size = len(crowd)
    crowd.remove(number)
    return size


@app.orchestration_trigger(context_name="context")
def survives(context, task):
    return (yield context.call_activity("end_process", input=task))


@app.activity_trigger(input_name="task")
def end_process(task: dict) -> int:
    """End the process without notice as often as `times` says; each try leaves a line in `file`."""
    with open(task["file"], "a+", encoding="utf-8") as journal:
        journal.write("x\n")
        journal.seek(0)
        tries = len(journal.readlines())
    if tries <= task["times"]:
        os._exit(3)
    return tries
