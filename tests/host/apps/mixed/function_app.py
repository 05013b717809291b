"""Triggers and bindings that the host cannot serve, next to some that it can."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="works")
def works(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("works")


@app.route(route="enqueue")
@app.queue_output(arg_name="message", queue_name="q", connection="AzureWebJobsStorage")
def enqueue(req: func.HttpRequest, message: func.Out[str]) -> func.HttpResponse:
    message.set("lost")
    return func.HttpResponse("must not be reached")


@app.queue_trigger(arg_name="message", queue_name="q", connection="AzureWebJobsStorage")
def dequeue(message: func.QueueMessage) -> None:
    pass


@app.generic_trigger(arg_name="req", type="httpTrigger", route="generic", methods=["get"])
@app.generic_output_binding(arg_name="$return", type="http")
def generic(req: func.HttpRequest) -> str:
    return "generic"
