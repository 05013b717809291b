"""Endpoints for what operators do with runs, each with a forecast."""

from collections.abc import Mapping
from types import MappingProxyType

from commands.forecasting import forecast
from commands.operating import Asked, Operated, operate
from kernel.errors import InvalidRequest
from triggers.http import Answer, Endpoint, Handler, Request
from triggers.operating_views import ForecastView, OperateRun
from triggers.views import RunView
from workflows.actions import Action, Effect

_SUMMARIES: Mapping[Action, str] = MappingProxyType(
    {
        Action.CANCEL: "Cancel a run: what is being sent is finished, the rest is held",
        Action.PAUSE: "Pause a run before its next effect",
        Action.RESUME: "Let a paused run go on",
        Action.RETRY: "Retry a failed run: completed writes stand, the rest is done again",
        Action.REPLAY: "Start a new run of the same version with the same inputs",
    }
)


def _handler(action: Action) -> Handler:
    def handle(request: Request) -> Answer:
        run_id = request.id("id")
        if _only_asks(request):
            return Answer(ForecastView.of(forecast(request.deployment, action, run_id)))
        reason = request.body(OperateRun).reason
        asked = Asked(action, run_id, reason, request.person, request.idempotency_key)
        return _answer(operate(request.deployment, asked, request.orchestrations))

    return handle


def _only_asks(request: Request) -> bool:
    text = request.query("forecast")
    if text not in (None, "true", "false"):
        raise InvalidRequest(f"`forecast` is {text[:20]!r}; use true or false.")
    return text == "true"


def _answer(done: Operated) -> Answer:
    """200 when the run is as wanted already; otherwise something comes of it."""
    headers = {"Location": f"/api/runs/{done.run.id}"}
    if done.repeated:
        headers["Idempotent-Replayed"] = "true"
    if done.effect is Effect.NOTHING and done.run.requested is None:
        return Answer(RunView.of(done.run), 200, headers)
    return Answer(RunView.of(done.run), 202, {**headers, "Retry-After": "1"})


ENDPOINTS = tuple(
    Endpoint(
        f"runs_{action}",
        "POST",
        f"runs/{{id}}/{action}",
        summary,
        _handler(action),
        RunView,
        command=f"{action}_run",
        takes=OperateRun,
        query={"forecast": "`true`: change nothing and say what it would do"},
        headers={"Idempotency-Key": "A key of yours; a repeat gets the answer of the first"},
        status=202,
        also=(200,),
        previews=ForecastView,
    )
    for action, summary in _SUMMARIES.items()
)
