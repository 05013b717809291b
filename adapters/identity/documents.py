"""JSON documents of identity services. Imports httpx2 late."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from adapters.retry_after import retry_after
from kernel.errors import Unavailable
from kernel.places import is_loopback

if TYPE_CHECKING:
    import httpx2

_SECONDS = 10.0
_MAX_BYTES = 4_000_000


class Documents:
    """Asks one service. `service` names it in messages."""

    def __init__(self, service: str) -> None:
        self._service = service

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The object at an address. Raises `Unavailable` when there is none now."""
        return self._asked("GET", url, headers or {}, None)

    def post(self, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Mapping[str, Any]:
        """The object that answers another. Raises `Unavailable` when there is none now."""
        return self._asked("POST", url, headers, body)

    def _asked(
        self, method: str, url: str, headers: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        import httpx2

        self._check(url)
        try:
            # Neither proxies nor credentials come from the process environment; nobody is led elsewhere.
            with httpx2.Client(timeout=_SECONDS, trust_env=False, follow_redirects=False) as client:
                response = client.request(method, url, headers=dict(headers), json=body)
        except (httpx2.TransportError, httpx2.InvalidURL) as exc:
            raise self._failed("is not reachable") from exc
        return self._object(response)

    def _check(self, url: str) -> None:
        """Whoever can change what travels in clear decides who is who."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise self._failed("has an address that does not begin with https://")

    def _object(self, response: "httpx2.Response") -> Mapping[str, Any]:
        if response.status_code != 200:
            headers = {name.lower(): value for name, value in response.headers.items()}
            raise self._failed(f"answered with status {response.status_code}", retry_after(headers))
        try:
            data = json.loads(response.content) if len(response.content) <= _MAX_BYTES else None
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise self._failed("did not answer with a JSON object")
        return data

    def _failed(self, what: str, retry_after: float | None = None) -> Unavailable:
        return Unavailable(
            f"{self._service} {what}; who may do what cannot be found out now. Try again, and tell an "
            "administrator if that does not help.",
            retry_after=retry_after or 5,
        )
