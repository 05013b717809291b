"""The one shell around every page: methods, errors in words, security headers."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import azure.functions as func

from console.sign_in import asking_to_sign_in
from console.visit import Answer, Download, Elsewhere, Page, Visit, is_secure
from kernel import errors
from kernel.errors import SluiceError, Unauthenticated
from kernel.ids import new_id
from kernel.traces import trace_of

logger = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SECURITY: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        # Not `no-referrer`, with which browsers send `Origin: null`: App Service Authentication refuses forms
        # without an origin (learn.microsoft.com/azure/app-service/overview-authentication-authorization).
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
)
"""On everything that is served here."""
_TRANSPORT = "max-age=31536000"
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Failure:
    """How an error is told: its status and a heading."""

    status: int
    heading: str


FAILURES: Mapping[type[SluiceError], Failure] = MappingProxyType(
    {
        errors.NotFound: Failure(404, "There is no such page"),
        errors.Forbidden: Failure(403, "This is not allowed"),
        errors.MethodNotAllowed: Failure(405, "This cannot be done here"),
        errors.Conflict: Failure(409, "This is not possible any more"),
        errors.TooLarge: Failure(413, "This is too long"),
        errors.UnsupportedMedia: Failure(415, "This cannot be read"),
        errors.CallerError: Failure(400, "This cannot be read"),
        errors.Unavailable: Failure(503, "This does not work at the moment"),
        errors.Transient: Failure(503, "This does not work at the moment"),
        errors.Waiting: Failure(503, "This does not work at the moment"),
    }
)
"""By error class; the nearest counts."""
_UNEXPECTED = Failure(500, "Something went wrong here")

type View = Callable[[Visit], Answer]


@dataclass(frozen=True)
class Route:
    """One address: `show` answers GET and HEAD, and changes nothing; `act` answers POST."""

    name: str
    path: str
    show: View | None = None
    act: View | None = None

    @property
    def methods(self) -> list[str]:
        """What it takes."""
        shown = ["GET", "HEAD"] if self.show else []
        return [*shown, *(["POST"] if self.act else []), "OPTIONS"]


def respond(route: Route, visit: Visit) -> func.HttpResponse:
    """Answer a request with a page; errors are pages in words."""
    trace = str(new_id())
    if visit.http.method.upper() == "OPTIONS":
        return _bare(204, {"Allow": ", ".join(route.methods)})
    try:
        return _rendered(visit, _view(route, visit)(visit), trace)
    except Unauthenticated as exc:
        return _rendered(visit, asking_to_sign_in(visit, exc), trace)
    except SluiceError as exc:
        failure = next((FAILURES[kind] for kind in type(exc).__mro__ if kind in FAILURES), _UNEXPECTED)
        if failure.status >= 500:
            logger.warning("page failed", extra={"page": route.name, "code": exc.code, "trace": trace})
        return _failed(visit, failure, exc, trace)
    except Exception as exc:  # noqa: BLE001 - the HTTP boundary: details go to the log, not out
        logger.error("page crashed: %s", trace_of(exc), extra={"page": route.name, "trace": trace})
        hidden = errors.InternalError("Try again. If it stays so, give the operators the id below.")
        return _failed(visit, _UNEXPECTED, hidden, trace)


def served(visit: Visit) -> func.HttpResponse:
    """A file of `console/static`, by the name that changes with its content."""
    asset = visit.site.statics.find(str(visit.http.route_params.get("name", "")))
    if asset is None or visit.http.method.upper() not in ("GET", "HEAD"):
        return _bare(404, {"Cache-Control": "no-store"})
    headers = {**SECURITY, "Cache-Control": _FOR_EVER, "Content-Type": f"{asset.kind}; charset=utf-8"}
    return func.HttpResponse(asset.data if visit.looks else b"", status_code=200, headers=headers)


def _view(route: Route, visit: Visit) -> View:
    method = visit.http.method.upper()
    view = route.show if method in ("GET", "HEAD") else route.act if method == "POST" else None
    if view is None:
        said = f"This address takes {' and '.join(route.methods[:-1])} only. Nothing was changed."
        raise errors.MethodNotAllowed(said, allowed=tuple(route.methods))
    return view


def _failed(visit: Visit, failure: Failure, error: SluiceError, trace: str) -> func.HttpResponse:
    content = {"heading": failure.heading, "text": error.message, "faults": error.faults, "trace": trace}
    headers = {} if error.retry_after is None else {"Retry-After": str(max(1, round(error.retry_after)))}
    if isinstance(error, errors.MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    return _rendered(visit, Page("failure.html", content, failure.status, headers), trace)


def _rendered(visit: Visit, answer: Answer, trace: str) -> func.HttpResponse:
    headers = {**SECURITY, "X-Request-Id": trace, "Cache-Control": "no-store"}
    if is_secure(visit.http):
        headers["Strict-Transport-Security"] = _TRANSPORT
    if isinstance(answer, Elsewhere):
        return _bare(303, {**headers, **answer.headers, "Location": answer.address})
    if isinstance(answer, Download):
        headers |= {
            "Content-Type": answer.kind,
            "Content-Disposition": f'attachment; filename="{answer.name}"',
        }
        return func.HttpResponse(answer.data if visit.looks else b"", status_code=200, headers=headers)
    return _page(visit, answer, headers)


def _page(visit: Visit, page: Page, headers: dict[str, str]) -> func.HttpResponse:
    common: dict[str, Any] = {"visitor": _visitor(visit), "sign_out": _sign_out(visit)}
    text = visit.site.rendering.page(page.template, {**common, **page.content})
    if visit.browser.set_cookie:
        headers["Set-Cookie"] = visit.browser.set_cookie
    headers |= {**page.headers, "Content-Type": "text/html; charset=utf-8"}
    body = b"" if visit.http.method.upper() == "HEAD" else text.encode("utf-8", "replace")
    return func.HttpResponse(body, status_code=page.status, headers=headers)


def _visitor(visit: Visit) -> str | None:
    """The visitor's name for the head of the page, if they are known: a page about an error has it too."""
    try:
        return visit.person.name
    except SluiceError:
        return None


def _sign_out(visit: Visit) -> Mapping[str, str] | None:
    """How to sign out: by a form where the session is ours, else by the platform's page."""
    door = visit.site.door
    if _visitor(visit) is None or not (door.sign_in or door.platform):
        return None
    if door.sign_in is None:
        return {"address": "/.auth/logout", "token": ""}
    return {"address": "/sign-out", "token": visit.token("sign out")}


def _bare(status: int, headers: Mapping[str, str]) -> func.HttpResponse:
    return func.HttpResponse(b"", status_code=status, headers={**SECURITY, **headers})
