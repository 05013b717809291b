"""HTTP requests and responses to and from the worker's data, with the conversions of the Functions host."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from azure.functions.meta import Datum
from starlette.responses import Response
from starlette.types import Receive, Scope

from localhost.host.invocation import child_trace
from localhost.host.runtime import Result, Trace

# The server computes these; repeating what the function says would corrupt the message.
_HOP_BY_HOP = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"})

_DISCARD_SECONDS = 5.0
_STATUSES = range(200, 600)
_WITHOUT_BODY = frozenset({204, 304})


class BodyTooLarge(Exception):
    """The request body is larger than the host accepts."""


class UnusableResponse(Exception):
    """The function's response cannot be sent; the message completes "The response cannot be sent: "."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole request body. Raises BodyTooLarge if it exceeds `limit` bytes.

    Raises ConnectionResetError if the caller has gone.
    """
    chunks, size = [], 0
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            await _discard(receive)
            raise BodyTooLarge
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        chunk: bytes = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            await _discard(receive)
            raise BodyTooLarge
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _discard(receive: Receive) -> None:
    """Read what the caller still sends: closing before would reset the connection and lose the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while (await receive()).get("more_body", False):
                pass


def request_datum(scope: Scope, body: bytes, parameters: Mapping[str, str]) -> Datum:
    """The HttpRequest as the worker expects it: values that occur repeatedly are joined by commas."""
    given = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    headers = _joined((*given, *_forwarded(scope)))
    query = scope["query_string"].decode("latin-1")
    return Datum(
        {
            "method": Datum(scope["method"], "string"),
            "url": Datum(_url(scope, headers, query), "string"),
            "headers": _strings(headers),
            "query": _strings(_joined(parse_qsl(query, keep_blank_values=True))),
            "params": _strings(parameters),
            "body": Datum(body, "bytes"),
        },
        "http",
    )


def _forwarded(scope: Scope) -> Iterable[tuple[str, str]]:
    """Where the request comes from, as the front end of Azure says it, behind what the caller says."""
    if scope.get("client"):
        yield "X-Forwarded-For", scope["client"][0]


def request_trace(scope: Scope) -> Trace:
    """The trace context that the request carries, or a new one."""
    headers = dict(scope["headers"])
    return child_trace(
        headers.get(b"traceparent", b"").decode("latin-1"), headers.get(b"tracestate", b"").decode("latin-1")
    )


def response_of(result: Result, http_outputs: Iterable[str]) -> Response:
    """The response of an invocation: its return value, or the output parameter of type http.

    Raises UnusableResponse if HTTP has no way to say it.
    """
    if not result.ok:
        return Response(status_code=500)
    named = (result.outputs[name] for name in http_outputs if name in result.outputs)
    datum = result.returned if _has_value(result.returned) else next(named, None)
    if datum is None:
        return Response(status_code=204)
    if datum.type == "http":
        return _http_response(datum.value)
    value = datum.value if isinstance(datum.value, str | bytes) else str(datum.value)
    return Response(value, media_type="text/plain")


def _http_response(value: Mapping[str, Any]) -> Response:
    status = value["status_code"].value
    if not status.isdecimal() or int(status) not in _STATUSES:
        raise UnusableResponse(f"its status is {status}, which is not between 200 and 599")
    body = b"" if int(status) in _WITHOUT_BODY else value["body"].value
    response = Response(body, status_code=int(status))
    try:
        response.raw_headers.extend(_headers(value))
    except UnicodeEncodeError as exc:
        raise UnusableResponse(f"a header has the character {exc.object[exc.start]!r}") from exc
    return response


def _headers(value: Mapping[str, Any]) -> Iterable[tuple[bytes, bytes]]:
    for name, header in value["headers"].items():
        if name.lower() not in _HOP_BY_HOP:
            yield name.lower().encode("latin-1"), header.value.encode("latin-1")
    for cookie in value["cookies"] or ():
        yield from _cookie_headers(cookie)


def _cookie_headers(cookie: SimpleCookie) -> Iterable[tuple[bytes, bytes]]:
    for morsel in cookie.values():
        yield b"set-cookie", morsel.OutputString().encode("latin-1")


def _has_value(datum: Datum | None) -> bool:
    return datum is not None and datum.type is not None


def _url(scope: Scope, headers: Mapping[str, str], query: str) -> str:
    host = headers.get("host") or "{}:{}".format(*scope["server"])
    path = scope["raw_path"].decode("ascii", "replace")
    return f"{scope['scheme']}://{host}{path}{'?' + query if query else ''}"


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One value per name, without regard to case; the first spelling of the name stays."""
    spelling: dict[str, str] = {}
    values: dict[str, str] = {}
    for name, value in pairs:
        key = spelling.setdefault(name.casefold(), name)
        values[key] = f"{values[key]},{value}" if key in values else value
    return values


def _strings(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}
