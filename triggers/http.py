"""The one shell around every endpoint: who asks, may they, parse, call, answer; errors become
`application/problem+json`."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

import azure.functions as func
from pydantic import BaseModel, ValidationError

from commands.deployment import Deployment
from commands.orchestrations import Orchestrations
from commands.permissions import permit
from kernel import errors
from kernel.errors import Fault, InvalidRequest, NotFound, SluiceError, TooLarge, UnsupportedMedia
from kernel.ids import new_id
from kernel.people import Person
from kernel.traces import trace_of
from triggers.bodies import Body, json_data, storable

logger = logging.getLogger(__name__)

MAX_JSON_BYTES = 1_000_000
DEFAULT_LIMIT, MAX_LIMIT = 50, 200
MAX_KEY = 200
_REFUSED = (401, 403)
"""Statuses that someone who looks for attacks wants to see in the log."""
CHALLENGE = 'Bearer realm="sluice"'
_LIMIT = re.compile(r"[0-9]{1,4}")

STATUSES: Mapping[type[SluiceError], int] = {
    errors.InvalidDefinition: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.CallerError: 400,
    errors.PolicyDenied: 422,
    errors.Unavailable: 503,
    errors.Transient: 503,
    errors.ExternalError: 502,
    errors.Waiting: 503,
}
"""HTTP status by error class; the nearest class counts, 500 for all others."""


type Identify = Callable[[func.HttpRequest], Person]
"""Who makes a request; raises `Unauthenticated` when that is not known."""


@dataclass(frozen=True)
class Request:
    """What a handler sees of an HTTP request."""

    http: func.HttpRequest
    deployment: Deployment
    identify: Identify
    orchestrations: Orchestrations

    @cached_property
    def person(self) -> Person:
        """Who asks; raises `Unauthenticated` when that is not known."""
        return self.identify(self.http)

    def path(self, name: str) -> str:
        """A part of the route."""
        return storable(str(self.http.route_params.get(name, "")), name)

    def id(self, name: str) -> UUID:
        """A part of the route that is an id; `NotFound` when it cannot be one."""
        try:
            return UUID(self.path(name))
        except ValueError as exc:
            raise NotFound(f"There is nothing with the id {self.path(name)!r}.") from exc

    def query(self, name: str) -> str | None:
        """A query parameter, or `None`."""
        value: str | None = self.http.params.get(name)
        return None if value is None else storable(value, name)

    def header(self, name: str) -> str | None:
        """A header, or `None`."""
        value: str | None = self.http.headers.get(name)
        return None if value is None else storable(value, name)

    @property
    def idempotency_key(self) -> str | None:
        """The caller's name for this one request, or `None`."""
        key = self.header("Idempotency-Key")
        if key is not None and not 0 < len(key) <= MAX_KEY:
            raise InvalidRequest(f"The Idempotency-Key must have 1 to {MAX_KEY} characters.")
        return key

    @cached_property
    def limit(self) -> int:
        """The page size asked for, within bounds."""
        text = self.query("limit") or str(DEFAULT_LIMIT)
        if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
            raise InvalidRequest(f"`limit` is {text[:20]!r}; use a whole number from 1 to {MAX_LIMIT}.")
        return int(text)

    def text(self) -> str:
        """The body as UTF-8 text of at most a megabyte.

        Raises `UnsupportedMedia` for a form with parts: its envelope would be taken for the content.
        """
        data = self.content()
        if len(data) > MAX_JSON_BYTES:
            raise TooLarge(f"The body has {len(data):,} bytes; at most {MAX_JSON_BYTES:,} are accepted here.")
        try:
            return storable(data.decode("utf-8"), "body")
        except UnicodeDecodeError as exc:
            raise InvalidRequest(f"The body is not UTF-8: byte {exc.start} does not fit.") from exc

    def content(self) -> bytes:
        """The body as it is; `UnsupportedMedia` for a form with parts."""
        kind = (self.header("Content-Type") or "").lower()
        if kind.startswith("multipart/"):
            raise UnsupportedMedia(
                "A form with parts is not accepted here; send the content itself as the body "
                "(with curl: --data-binary @FILE)."
            )
        data: bytes = self.http.get_body()
        return data

    def body[Model: Body](self, model: type[Model]) -> Model:
        """The JSON body as a model; `InvalidRequest` with a pointer for every fault."""
        data = json_data(self.text() or "{}", model.number)
        try:
            return model.model_validate(data)
        except ValidationError as exc:
            faults = [Fault(e["type"], f"{e['msg']}.", path=pointer(e["loc"])) for e in exc.errors()]
            raise InvalidRequest("The body does not fit.", faults=faults) from exc


@dataclass(frozen=True)
class Answer:
    """What a handler gives back."""

    view: BaseModel | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


type Handler = Callable[[Request], Answer]


@dataclass(frozen=True)
class Endpoint:
    """One route and method below `/api`. `takes` is a body model, `text` or `bytes`; `gives` is the answer's
    model; `command` is what the caller must be permitted, unless anyone may ask: `anonymous`."""

    name: str
    method: str
    path: str
    summary: str
    handler: Handler
    gives: type[BaseModel]
    takes: type[BaseModel] | str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses with the same answer."""
    previews: type[BaseModel] | None = None
    """What it gives with status 200 when it is only asked what it would do."""
    command: str = ""
    anonymous: bool = False


def pointer(path: tuple[str | int, ...]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def answer(endpoint: Endpoint, request: Request) -> func.HttpResponse:
    """Call the endpoint's handler, if the caller may, and render what comes of it."""
    trace = str(new_id())
    try:
        if not endpoint.anonymous:
            permit(request.person, endpoint.command)
        return _render(endpoint.handler(request), trace)
    except SluiceError as exc:
        status = status_of(exc)
        if status >= 500 or status in _REFUSED:
            level = logging.WARNING if status >= 500 else logging.INFO
            fields = {"endpoint": endpoint.name, "code": exc.code, "trace": trace}
            logger.log(level, "request failed", extra=fields)
        return problem(exc, status, trace)
    except Exception as exc:  # noqa: BLE001 - the HTTP boundary: details go to the log, not out
        fields = {"endpoint": endpoint.name, "trace": trace}
        logger.error("request crashed: %s", trace_of(exc), extra=fields)
        hidden = errors.InternalError("Something went wrong here; give the operators this trace id.")
        return problem(hidden, 500, trace)


def status_of(error: SluiceError) -> int:
    """The status of the error's nearest class."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def problem(error: SluiceError, status: int, trace: str) -> func.HttpResponse:
    """RFC 9457 problem details with our stable code and all faults."""
    details = {
        "type": f"urn:sluice:error:{error.code}",
        "title": (type(error).__doc__ or error.code).splitlines()[0],
        "status": status,
        "detail": error.message,
        "code": error.code,
        "errors": [fault.to_dict() for fault in error.faults],
        "trace_id": trace,
    }
    headers = {"X-Request-Id": trace, "Cache-Control": "no-store"}
    if isinstance(error, errors.MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)  # RFC 9110, section 15.5.6
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = CHALLENGE
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return func.HttpResponse(
        json.dumps(details), status_code=status, mimetype="application/problem+json", headers=headers
    )


def _render(given: Answer, trace: str) -> func.HttpResponse:
    body = given.view.model_dump_json(by_alias=True) if given.view is not None else ""
    headers = {"X-Request-Id": trace, "Cache-Control": "no-store", **given.headers}
    return func.HttpResponse(body, status_code=given.status, mimetype="application/json", headers=headers)
