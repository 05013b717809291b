"""The system's HTTP interface: signs in, retries reads, and turns every failure into one of our errors."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from adapters.datasource.rest.auth import ReadSecret, sign_in
from adapters.datasource.rest.failures import Complaint, complaint, explanation, failure
from adapters.datasource.rest.scrubbing import scrubbed
from adapters.datasource.rest.settings import RestSettings
from adapters.datasource.rest.transport import Answer, Call, Transport
from adapters.datasource.rest.wire import NotJson, parsed
from kernel.errors import ExternalError, InDoubt, InvalidData, RateLimited, Transient
from kernel.records import Value

_PAUSES = (0.1, 0.4)
"""Seconds before a read is tried again. Longer waits belong to the engine, which sleeps for free."""

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Http:
    """One connector's connections; close it afterwards."""

    def __init__(self, settings: RestSettings, read_secret: ReadSecret) -> None:
        self.settings = settings
        self._transport = Transport(settings.origin, timeout=settings.timeout, max_bytes=settings.max_bytes)
        self._sign_in = sign_in(settings, read_secret)

    def read(self, call: Call, values: Mapping[str, Value] | None = None) -> tuple[Answer, Any]:
        """A successful answer and its data.

        `values` are parameters, whose values the system may repeat in an error text. Raises the error that
        the answer means, after a few quick attempts where these can help.
        """
        for pause in _PAUSES:
            try:
                return self._read(call, values)
            except Transient as exc:
                if not _passes_quickly(exc):
                    raise
            time.sleep(pause)
        return self._read(call, values)

    def reach(self, call: Call) -> Answer:
        """The answer to a read, whatever its status."""
        return self._followed(call)

    def write(self, call: Call) -> Answer:
        """The answer to a write, whatever its status. It is sent once, unless the sign-in was refused."""
        return self._signed(replace(call, writes=True))

    def data(self, answer: Answer, call: Call) -> Any:
        """The answer's JSON; `None` for an empty body.

        Raises `InDoubt` for a write and `InvalidData` for a read when it is not JSON.
        """
        if not answer.body.strip():
            return None
        try:
            if not _is_json(answer.headers.get("content-type", "")):
                raise NotJson("content type")
            return parsed(answer.body)
        except NotJson as exc:
            what = f"{self.what(call)} was answered with status {answer.status} and no whole JSON"
            if call.writes:
                raise InDoubt(f"{what}: whether the system acted on it is unknown.") from exc
            raise InvalidData(f"{what}. Check base_url and the operation's path.") from exc

    def complaint(self, data: Any) -> Complaint | None:
        """The failure that a body tells of, where the settings say."""
        return complaint(self.settings.errors, data)

    def failure(self, answer: Answer, call: Call, values: Mapping[str, Value] | None = None) -> ExternalError:
        """The error for an answer whose status is no success."""
        told = self.told(answer)
        detail = self.fit(told.text, values)
        return failure(answer, self.what(call), detail, writes=call.writes, passes=told.transient)

    def told(self, answer: Answer) -> Complaint:
        """What the body of an answer without success says; nothing when the settings do not say where."""
        try:
            return explanation(self.settings.errors, parsed(answer.body))
        except NotJson:
            return Complaint("")

    def revealed(self) -> list[str]:
        """Every form in which the system could repeat the credentials."""
        return self._sign_in.revealed()

    def fit(self, text: str, values: Mapping[str, Value] | None = None) -> str:
        """A text of the system's, fit to be shown."""
        return scrubbed(text, self.revealed(), values)

    def close(self) -> None:
        """Release the connections."""
        self._transport.close()
        self._sign_in.close()

    def _read(self, call: Call, values: Mapping[str, Value] | None) -> tuple[Answer, Any]:
        answer = self._followed(call)
        if not answer.ok:
            raise self.failure(answer, call, values)
        data = self.data(answer, call)
        if said := self.complaint(data):
            kind = Transient if said.transient else ExternalError
            told = self.fit(said.text, values)
            raise kind(f"{self.what(call)} was answered with an error{f': {told}' if told else '.'}")
        return answer, data

    def _followed(self, call: Call) -> Answer:
        """The answer after redirects, which may not leave the system."""
        for _ in range(_MAX_REDIRECTS):
            answer = self._signed(call)
            target = answer.headers.get("location", "")
            if answer.status not in _REDIRECTS or not target:
                return answer
            call = replace(call, url=self.same_origin(target, answer.url))
        raise ExternalError(f"{self.what(call)} is redirected again and again. Correct the operation's path.")

    def same_origin(self, target: str, base: str) -> str:
        """The absolute address of a link found at `base`. Raises `ExternalError` if it leaves the system."""
        try:
            url = urljoin(base, target)
            stays = _origin(url) == _origin(self.settings.base_url)
        except ValueError:
            stays = False
        if not stays:
            raise ExternalError(
                f"The system at {self.settings.origin} points to another server, which is not followed: it "
                "would get the connector's credentials. Make that server a connector of its own."
            )
        return url

    def _signed(self, call: Call) -> Answer:
        answer = self._transport.exchange(self._with_headers(call))
        # A refused sign-in proves that nothing was done, so that even a write may be sent again.
        if answer.status == 401 and self._sign_in.renew():
            return self._transport.exchange(self._with_headers(call))
        return answer

    def _with_headers(self, call: Call) -> Call:
        return replace(call, headers={**self.settings.headers, **call.headers, **self._sign_in.headers()})

    def what(self, call: Call) -> str:
        """The request, for messages."""
        return f"{call.method} {call.shown} of {self.settings.origin}"


def _passes_quickly(exc: Transient) -> bool:
    slow = isinstance(exc, RateLimited) or isinstance(exc.__cause__, httpx2.TimeoutException)
    return not slow and (exc.retry_after or 0) <= _PAUSES[-1]


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return not kind or kind == "application/json" or kind.endswith("+json")


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    if parts.username is not None:
        raise ValueError("an address with a user")
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default
