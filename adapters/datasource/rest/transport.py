"""One HTTP request and its whole answer. Imports httpx2, so import it late.

The one question that matters here: may the system have acted on a write whose answer did not arrive?
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from kernel.errors import ExternalError, InDoubt, InvalidData, SystemUnavailable, Transient

_CONNECT_SECONDS = 10.0
_BODY_STARTED = "send_request_body.started"


@dataclass(frozen=True)
class Call:
    """A request. `shown` stands for the address in messages; `writes` tells whether it may change things."""

    method: str
    url: str = field(repr=False)
    shown: str
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    writes: bool = False


@dataclass(frozen=True)
class Answer:
    """An answer with all of its body. Header names are in lower case."""

    status: int
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    next_link: str | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status says that the request succeeded."""
        return 200 <= self.status < 300


@dataclass
class _Progress:
    """How far a request got: once its body began to leave, the system may have acted on it."""

    body_started: bool = False

    def note(self, event: str, _info: Mapping[str, Any]) -> None:
        """Called by the HTTP library at each step."""
        self.body_started = self.body_started or event.endswith(_BODY_STARTED)


class Transport:
    """Connections to one place. `place` names it in messages; times are in seconds, sizes in bytes."""

    def __init__(self, place: str, *, timeout: float, max_bytes: int) -> None:
        self.place = place
        self._timeout = timeout
        self._max_bytes = max_bytes
        # Neither proxies nor credentials come from the process environment: only settings and vault count.
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "sluice", "Accept": "application/json", "Accept-Encoding": "gzip"},
        )

    def exchange(self, call: Call) -> Answer:
        """Send the request once and read the answer, whatever its status.

        Raises `SystemUnavailable` when the system is not reachable, `InDoubt` when a write left and no whole
        answer came, `Transient` when a read broke off, and `InvalidData` for an answer that is too large.
        """
        progress = _Progress()
        try:
            request = self._client.build_request(
                call.method,
                call.url,
                headers=dict(call.headers),
                content=call.body,
                extensions={"trace": progress.note},
            )
            deadline = time.monotonic() + self._timeout
            response = self._client.send(request, stream=True)
            try:
                body = self._read(response, call, deadline)
            finally:
                response.close()
        except (httpx2.RequestError, httpx2.InvalidURL) as exc:
            raise self._broken(call, progress, exc) from exc
        links = response.links.get("next", {})
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, str(response.url), headers, body, links.get("url"))

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def _read(self, response: httpx2.Response, call: Call, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                raise self._unusable(call, f"is larger than {self._max_bytes:,} bytes")
            if time.monotonic() > deadline:
                raise httpx2.ReadTimeout("the answer as a whole took too long")
        return bytes(body)

    def _unusable(self, call: Call, what: str) -> ExternalError:
        message = f"The answer of {self.place} to {call.method} {call.shown} {what}."
        if call.writes:
            return InDoubt(f"{message} Whether it acted on the request is unknown.")
        return InvalidData(f"{message} Ask for less at a time, or raise max_bytes.")

    def _broken(self, call: Call, progress: _Progress, exc: Exception) -> ExternalError:
        what = "took too long" if isinstance(exc, httpx2.TimeoutException) else "broke off"
        if call.writes and progress.body_started:
            return InDoubt(
                f"The {call.method} {call.shown} to {self.place} was sent and its answer {what}: whether the "
                "system acted on it is unknown. Look the records up there."
            )
        if isinstance(exc, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
            return SystemUnavailable(
                f"The system at {self.place} is not reachable. Check base_url, the network and the system."
            )
        return Transient(f"The answer of {self.place} to {call.method} {call.shown} {what}.")
