"""One HTTP POST to a service that delivers messages, and what its answer means. Imports httpx2 late.

The address of a webhook is a credential. The client of httpx2 logs addresses, so its transport is used by
itself, and no text of ours has more of an address than the host.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from adapters.retry_after import retry_after
from kernel.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ExternalError,
    ExternalNotFound,
    InDoubt,
    InvalidData,
    RateLimited,
    SystemUnavailable,
    Transient,
)

if TYPE_CHECKING:
    import httpx2

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_MAX_BYTES = 65_536
_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{2,79}")

_MEANINGS: Mapping[int, tuple[type[ExternalError], str]] = {
    400: (InvalidData, "It does not accept this message."),
    401: (AuthenticationFailed, "It does not accept our credentials; store them again."),
    403: (AccessForbidden, "Our credentials lack the permission to send this."),
    404: (ExternalNotFound, "There is nothing at this address; check it, or make a new one."),
    408: (Transient, "It waited too long for the request."),
    410: (ExternalNotFound, "What was at this address is gone; make a new one."),
    413: (InvalidData, "The message is too large for it."),
    422: (InvalidData, "It does not accept this message."),
    429: (RateLimited, "It has had too many messages."),
    503: (SystemUnavailable, "It does not serve requests at this moment."),
}


@dataclass(frozen=True)
class Outgoing:
    """A request. `accepts` are the statuses by which the service says that it takes the message."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    accepts: frozenset[int] = frozenset({200, 202})


@dataclass(frozen=True)
class Reply:
    """An answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Poster:
    """Posts to one service. `service` names it in messages, e.g. `the Teams webhook`."""

    def __init__(self, service: str, seconds: float = _SECONDS) -> None:
        self.service = service
        self._seconds = seconds

    def post(self, outgoing: Outgoing) -> Reply:
        """The answer, when the service takes the message; otherwise raises the error that the answer means.

        Raises `SystemUnavailable` when nothing can have been taken and `InDoubt` when that is not known.
        """
        where = self._where(outgoing.url)
        reply = self._exchange(outgoing, where)
        if reply.status in outgoing.accepts:
            return reply
        raise self._failure(reply, where)

    def _where(self, url: str) -> str:
        """The host, for messages. A credential in an address must not travel in clear."""
        try:
            parts = urlsplit(url)
            host, safe = parts.hostname or "", parts.scheme == "https" or parts.hostname in _LOOPBACK
        except ValueError:
            host, safe = "", False
        if not host or not safe:
            raise ExternalNotFound(
                f"The address of {self.service} is not one that begins with https://. Store the right one."
            )
        return host

    def _exchange(self, outgoing: Outgoing, where: str) -> Reply:
        import httpx2

        sent: list[str] = []
        times = {"connect": _CONNECT_SECONDS, "read": self._seconds, "write": self._seconds, "pool": 1.0}
        more = {"timeout": times, "trace": lambda event, _info: sent.append(event)}
        headers = {"User-Agent": "sluice", "Content-Type": "application/json", **outgoing.headers}
        try:
            request = httpx2.Request("POST", outgoing.url, headers=headers, content=outgoing.body,
                                     extensions=more)  # fmt: skip
            # Neither proxies nor credentials come from the process environment.
            with httpx2.HTTPTransport(trust_env=False) as transport:
                return self._read(transport.handle_request(request))
        except (httpx2.TransportError, httpx2.InvalidURL, OSError) as exc:
            raise self._broken(sent, where) from exc

    def _read(self, response: "httpx2.Response") -> Reply:
        body, deadline = bytearray(), time.monotonic() + self._seconds
        with _closing(response):
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES or time.monotonic() > deadline:
                    break  # an answer matters by its status; the rest of a long one tells us nothing
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, headers, bytes(body[:_MAX_BYTES]))

    def _broken(self, events: list[str], where: str) -> ExternalError:
        if any(event.endswith("send_request_body.started") for event in events):
            return InDoubt(
                f"{self.service} at {where} did not answer: whether it has taken the message is unknown."
            )
        return SystemUnavailable(f"{self.service} at {where} is not reachable. Check the network.")

    def _failure(self, reply: Reply, where: str) -> ExternalError:
        fallback = (SystemUnavailable, "It failed.") if reply.status >= 500 else _UNKNOWN
        kind, sentence = _MEANINGS.get(reply.status, fallback)
        said = f" It says: {code}." if (code := _error_code(reply.body)) else ""
        text = f"{self.service} at {where} answered with status {reply.status}. {sentence}{said}"
        return kind(text, retry_after=retry_after(reply.headers))


_UNKNOWN: tuple[type[ExternalError], str] = (ExternalError, "Such an answer has no meaning here.")


@contextmanager
def _closing(response: "httpx2.Response") -> Iterator[None]:
    try:
        yield
    finally:
        response.close()


def _error_code(body: bytes) -> str:
    """The service's own name for what is wrong. Its sentences may quote anything and are dropped."""
    import json

    text = body.decode("utf-8", "replace").strip()
    try:
        data: Any = json.loads(text)
    except ValueError:
        data = text
    for name in ("error", "code"):
        data = data.get(name, data) if isinstance(data, dict) else data
    return data if isinstance(data, str) and _CODE.fullmatch(data) else ""
