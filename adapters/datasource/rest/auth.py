"""Signing in: what goes into a request's headers, and what must never come out of an error text."""

import base64
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from adapters.datasource.rest.places import at
from adapters.datasource.rest.settings import Basic, ClientCredentials, HeaderKey, OAuth, RestSettings
from adapters.datasource.rest.transport import Answer, Call, Transport
from adapters.datasource.rest.wire import NotJson, parsed
from adapters.retry_after import retry_after
from kernel.errors import AuthenticationFailed, ExternalError, RateLimited, SystemUnavailable
from kernel.secrets import Secret

type ReadSecret = Callable[[str], Secret]

SECRET_SECONDS = 300
"""How long a credential is kept in memory before the vault is asked again."""

_SOONER_SECONDS = 60
"""A token is renewed this long before it expires, so that it does not expire on its way."""

_DEFAULT_TOKEN_SECONDS = 300
_TOKEN_MAX_BYTES = 100_000


class SignIn(Protocol):
    """Gives the headers that identify the connector."""

    def headers(self) -> dict[str, str]:
        """For one request. Raises `AuthenticationFailed` when the credential cannot be used."""
        ...

    def renew(self) -> bool:
        """Forget what was refused; tells whether another attempt can do better."""
        ...

    def revealed(self) -> list[str]:
        """Every form in which a system could echo what `headers` gave it."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


class FixedSignIn:
    """One header made from one secret, or none."""

    def __init__(self, name: str, header: Callable[[str], str], read: Callable[[], Secret] | None) -> None:
        self._name = name
        self._header = header
        self._read = read
        self._kept: Secret | None = None
        self._until = 0.0

    def headers(self) -> dict[str, str]:
        """The one header."""
        if self._read is None:
            return {}
        if self._kept is None or time.monotonic() > self._until:
            self._kept, self._until = self._read(), time.monotonic() + SECRET_SECONDS
        return {self._name: _sendable(self._header(self._kept.reveal()))}

    def renew(self) -> bool:
        """The vault has only this one."""
        return False

    def revealed(self) -> list[str]:
        """The secret itself and as it was sent."""
        if self._kept is None:
            return []
        secret = self._kept.reveal()
        return [secret, self._header(secret).partition(" ")[2]]

    def close(self) -> None:
        """Nothing is open."""


class TokenSignIn:
    """OAuth 2 client credentials: a bearer token, kept until shortly before it expires."""

    def __init__(self, spec: ClientCredentials, read: Callable[[], Secret], transport: Transport) -> None:
        self._spec = spec
        self._read = read
        self._transport = transport
        self._token: Secret | None = None
        self._secret: Secret | None = None
        self._until = 0.0

    def headers(self) -> dict[str, str]:
        """The token, a new one if needed."""
        if self._token is None or time.monotonic() >= self._until:
            self._token = self._new_token()
        return {"Authorization": _sendable(f"Bearer {self._token.reveal()}")}

    def renew(self) -> bool:
        """The next request gets a new token."""
        self._token = None
        return True

    def revealed(self) -> list[str]:
        """Token and client secret."""
        return [kept.reveal() for kept in (self._token, self._secret) if kept]

    def close(self) -> None:
        """Release the connections."""
        self._transport.close()

    def _new_token(self) -> Secret:
        self._secret = self._read()
        answer = self._transport.exchange(self._request(self._secret.reveal()))
        if not answer.ok:
            raise self._refusal(answer)
        try:
            data = parsed(answer.body)
            token, seconds = at(data, ("access_token",)), at(data, ("expires_in",))
        except NotJson:
            token = seconds = None
        if not isinstance(token, str) or not token:
            raise AuthenticationFailed(f"The answer of {self._transport.place} has no access_token.")
        self._until = time.monotonic() + usable_seconds(seconds)
        return Secret(token)

    def _request(self, secret: str) -> Call:
        form = {
            "grant_type": "client_credentials",
            "scope": self._spec.scope,
            "audience": self._spec.audience,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self._spec.send == "form":
            form |= {"client_id": self._spec.client_id, "client_secret": secret}
        else:
            # RFC 6749, 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote(self._spec.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {_base64(pair)}"
        body = urlencode({name: value for name, value in form.items() if value}).encode()
        return Call("POST", self._spec.token_url, "the token", body, headers)

    def _refusal(self, answer: Answer) -> ExternalError:
        place = self._transport.place
        wait = retry_after(answer.headers)
        if answer.status == 429:
            return RateLimited(f"The {place} has had too many requests.", retry_after=wait)
        if answer.status == 408 or answer.status >= 500:
            return SystemUnavailable(f"The {place} failed with status {answer.status}.", retry_after=wait)
        return AuthenticationFailed(
            f"The {place} refused the client with status {answer.status}. Check client_id, the secret, scope "
            "and audience."
        )


def sign_in(settings: RestSettings, read: ReadSecret) -> SignIn:
    """The way to sign in that the settings describe; `read` gets a credential by its name."""
    auth = settings.auth
    if isinstance(auth, OAuth):
        place = f"token endpoint {urlsplit(auth.oauth.token_url).netloc}"
        transport = Transport(place, timeout=settings.timeout, max_bytes=_TOKEN_MAX_BYTES)
        return TokenSignIn(auth.oauth, lambda: read("client_secret"), transport)
    if isinstance(auth, Basic):
        user = auth.basic
        return FixedSignIn(
            "Authorization", lambda secret: f"Basic {_base64(f'{user}:{secret}')}", lambda: read("password")
        )
    if isinstance(auth, HeaderKey):
        prefix = auth.prefix
        return FixedSignIn(auth.header, lambda secret: f"{prefix}{secret}", lambda: read("api_key"))
    bearer = None if auth == "none" else lambda: read("token")
    return FixedSignIn("Authorization", lambda secret: f"Bearer {secret}", bearer)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _sendable(value: str) -> str:
    # The HTTP library would quote the value in its error text.
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise AuthenticationFailed(
            "The credential has characters that an HTTP header cannot carry, such as a line break at its "
            "end. Store it again without them."
        )
    return value


def usable_seconds(seconds: Any) -> float:
    """Seconds for which a token may be used; half of its life where that is short."""
    if isinstance(seconds, str) and seconds.isdecimal():
        seconds = int(seconds)
    whole = isinstance(seconds, int) and not isinstance(seconds, bool) and seconds > 0
    life: float = seconds if whole else _DEFAULT_TOKEN_SECONDS
    return max(life - _SOONER_SECONDS, life / 2)
