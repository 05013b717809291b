"""HTTP triggers of every kind."""

import asyncio
import json
import logging
import os
import threading
import time

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
logger = logging.getLogger("shop")


def as_json(value, status=200):
    return func.HttpResponse(json.dumps(value), status_code=status, mimetype="application/json")


@app.route(route="echo/{*rest}")
def echo(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(
        {
            "method": req.method,
            "url": req.url,
            "headers": dict(req.headers),
            "params": dict(req.params),
            "route": dict(req.route_params),
            "form": {name: req.form.getlist(name) for name in req.form},
            "files": {name: [file.filename, file.read().hex()] for name, file in req.files.items()},
            "body": req.get_body().hex(),
        }
    )


@app.route(route="whoami")
def plain(req: func.HttpRequest) -> func.HttpResponse:
    return as_json({"function": "plain", "thread": threading.current_thread().name})


@app.route(route="whoami", methods=["POST"])
def never_reached(req: func.HttpRequest) -> func.HttpResponse:
    return as_json({"function": "never_reached"})


@app.route(route="items/{id:int}", methods=["GET"])
def item_by_number(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(["number", req.route_params["id"]])


@app.route(route="items/{name}", methods=["GET"])
def item_by_name(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(["name", req.route_params["name"]])


@app.route(route="items/newest", methods=["GET"])
def newest(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(["newest"])


@app.route(route="items/{id:int}", methods=["PUT", "PATCH"])
def change_item(req: func.HttpRequest) -> func.HttpResponse:
    return as_json([req.method, req.route_params["id"]])


@app.route(route="reports/{year:range(2000,2100)}/{month:regex(^[a-z]{{3}}$)=jan}/{page?}")
def report(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(dict(req.route_params))


@app.route(route="admin_only", auth_level=func.AuthLevel.ADMIN)
async def admin_only(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(threading.current_thread() is threading.main_thread())


@app.route(route="text")
def text(req: func.HttpRequest) -> str:
    return "grüezi"


@app.route(route="out", binding_arg_name="res")
def out(req: func.HttpRequest, res: func.Out[func.HttpResponse]) -> None:
    res.set(func.HttpResponse("out", status_code=201, headers={"x-from": "out"}))


@app.route(route="binary")
def binary(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(bytes(range(256)), mimetype="application/octet-stream")


@app.route(route="status/{code:int}")
def status(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=int(req.route_params["code"]))


@app.route(route="unusable/{kind}")
def unusable(req: func.HttpRequest) -> func.HttpResponse:
    if req.route_params["kind"] == "header":
        return func.HttpResponse("x", headers={"x-name": "日本"})
    return func.HttpResponse("x", status_code=int(req.route_params["kind"]))


@app.route(route="cookies")
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse(req.headers.get("cookie", ""))
    response.headers.add("Set-Cookie", "first=1; Path=/; HttpOnly")
    response.headers.add("Set-Cookie", "second=two; Max-Age=60; Secure; SameSite=Lax")
    return response


@app.route(route="fail")
def fail(req: func.HttpRequest) -> func.HttpResponse:
    raise KeyError("the secret ingredient")


@app.route(route="nothing")
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None


@app.route(route="setting/{name}")
def setting(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(os.environ.get(req.route_params["name"]))


@app.route(route="context")
def context_of(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    logger.warning("in invocation %s", context.invocation_id)
    return as_json(
        {
            "invocation": context.invocation_id,
            "function": context.function_name,
            "directory": context.function_directory,
            "parent": context.trace_context.trace_parent,
            "state": context.trace_context.trace_state,
            "retries": context.retry_context.retry_count,
            "local": context.thread_local_storage.invocation_id,
        }
    )


@app.route(route="sleep/{milliseconds:int}")
def sleep(req: func.HttpRequest) -> func.HttpResponse:
    logger.info("sleep begins")
    time.sleep(int(req.route_params["milliseconds"]) / 1000)
    return func.HttpResponse("slept")


@app.route(route="nap/{milliseconds:int}")
async def nap(req: func.HttpRequest) -> func.HttpResponse:
    logger.info("nap begins")
    await asyncio.sleep(int(req.route_params["milliseconds"]) / 1000)
    return func.HttpResponse("napped")


@app.route(route="switched_off")
def switched_off(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("on")
