"""Services that deliver messages, as far as they are documented: they take what has the right shape and the
right credentials, answer as documented, and fail on demand."""

import base64
import hmac
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import jsonschema_rs

from tests.support.message_shapes import ACS, GRAPH, SLACK, TEAMS

TOKEN = "token-canary-4711"
ACCESS_KEY = base64.b64encode(b"k" * 32).decode()
SIGNATURE = "sig-canary-4711"
MAILBOX = "sluice@example.com"
TEAMS_LIMIT = 28 * 1024


@dataclass(frozen=True)
class Taken:
    """A request that was accepted."""

    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Failure:
    """How to fail: a status with headers and a body, or by dropping the connection after the request."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


class MessageServer:
    """What a test sees of the server."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.failures: deque[Failure] = deque()
        self.refusals: list[str] = []
        self.operations: set[str] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def webhook(self) -> str:
        """A webhook's address: its signature is the credential."""
        return f"{self.url}/workflows/abc/triggers/manual/paths/invoke?api-version=1&sig={SIGNATURE}"


@contextmanager
def message_server() -> Iterator[MessageServer]:
    """A server on a free port."""
    state = MessageServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _handler(state: MessageServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Called for each request."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if state.failures:
                self._fail(state.failures.popleft())
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, reason = _answer(state, self.path, headers, body)
            if status in (200, 202):
                state.taken.append(Taken(self.path, headers, json.loads(body)))
            else:
                state.refusals.append(reason)
            self._reply(status, more, reason.encode())

        def _fail(self, failure: Failure) -> None:
            if not failure.status:
                self.close_connection = True
                self.connection.close()
                return
            self._reply(failure.status, failure.headers, failure.body)

        def _reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_parts: object) -> None:
            """Say nothing."""

    return Handler


type _Answer = tuple[int, dict[str, str], str]


def _answer(state: MessageServer, path: str, headers: Mapping[str, str], body: bytes) -> _Answer:
    where = urlsplit(path)
    if unquote(where.path) == f"/v1.0/users/{MAILBOX}/sendMail":
        return _graph(headers, body)
    if where.path == "/emails:send":
        return _acs(state, path, headers, body)
    if where.path.startswith("/workflows/"):
        return _teams(path, body)
    if where.path.startswith("/services/"):
        fault = _fault(SLACK, body)
        return (400, {}, "invalid_payload") if fault else (200, {}, "ok")
    return 404, {}, "no_service"


def _graph(headers: Mapping[str, str], body: bytes) -> _Answer:
    if headers.get("authorization") != f"Bearer {TOKEN}":
        return 401, {}, json.dumps({"error": {"code": "InvalidAuthenticationToken", "message": TOKEN}})
    if fault := _fault(GRAPH, body):
        return 400, {}, json.dumps({"error": {"code": "ErrorInvalidRequest", "message": fault}})
    UUID(headers["client-request-id"])
    return 202, {"request-id": headers["client-request-id"]}, ""


def _acs(state: MessageServer, path: str, headers: Mapping[str, str], body: bytes) -> _Answer:
    """The signature as "Sign an HTTP request with HMAC" computes it, or a token."""
    digest = base64.b64encode(sha256(body).digest()).decode()
    signed = f"POST\n{path}\n{headers.get('x-ms-date')};{headers['host']};{digest}"
    proof = base64.b64encode(hmac.digest(base64.b64decode(ACCESS_KEY), signed.encode(), "sha256")).decode()
    names = "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256"
    good = {f"{names}&Signature={proof}", f"Bearer {TOKEN}"}
    if headers.get("authorization") not in good or "api-version=2023-03-31" not in path:
        return 401, {}, json.dumps({"error": {"code": "Denied", "message": "Denied"}})
    if fault := _fault(ACS, body):
        return 400, {}, json.dumps({"error": {"code": "BadRequest", "message": fault}})
    operation = str(UUID(headers["operation-id"]))
    if operation in state.operations:
        return 409, {}, json.dumps({"error": {"code": "Conflict", "message": "taken"}})
    state.operations.add(operation)
    return 202, {"Operation-Location": f"https://x/emails/operations/{operation}"}, "{}"


def _teams(path: str, body: bytes) -> _Answer:
    if f"sig={SIGNATURE}" not in path:
        return 401, {}, json.dumps({"error": {"code": "DirectApiAuthorizationRequired", "message": path}})
    if len(body) > TEAMS_LIMIT:
        return 413, {}, ""
    fault = _fault(TEAMS, body)
    return (
        (400, {}, json.dumps({"error": {"code": "InvalidCard", "message": fault}}))
        if fault
        else (202, {}, "")
    )


def _fault(schema: Any, body: bytes) -> str:
    """What is wrong with the body, or nothing."""
    try:
        jsonschema_rs.validate(schema, json.loads(body))
    except (jsonschema_rs.ValidationError, ValueError) as exc:
        return str(exc)
    return ""
