"""Connector settings of the REST adapter: where the system is, how to sign in, and what it offers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Discriminator, Field, Tag

from adapters.datasource.rest.names import (
    MODEL,
    HeaderName,
    Identifier,
    Path,
    Printable,
    Url,
    plain_host,
)
from adapters.datasource.rest.operations import AnyOperation
from adapters.datasource.rest.places import Place

_MEGABYTE = 1_000_000

SECRETS_BY_AUTH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "none": (),
        "bearer": ("token",),
        "basic": ("password",),
        "header": ("api_key",),
        "oauth": ("client_secret",),
    }
)


class Basic(BaseModel):
    """User and password (RFC 7617); the secret is `password`."""

    model_config = MODEL
    basic: str = Field(min_length=1, max_length=200, pattern="^[^:]*$", description="The user name.")


class HeaderKey(BaseModel):
    """A key in a header of its own; the secret is `api_key`. `prefix` goes before it, as in `Token `."""

    model_config = MODEL
    header: HeaderName
    prefix: Printable = ""


class ClientCredentials(BaseModel):
    """An OAuth 2 client (RFC 6749, 4.4); the secret is `client_secret`.

    `send` says whether the client identifies itself by basic authentication or in the form.
    """

    model_config = MODEL
    token_url: Url
    client_id: str = Field(min_length=1, max_length=200)
    scope: str = ""
    audience: str = ""
    send: Literal["basic", "form"] = "basic"


class OAuth(BaseModel):
    """Sign in with tokens that the client gets for itself."""

    model_config = MODEL
    oauth: ClientCredentials


def auth_kind(auth: Any) -> str | None:
    """`none`, `bearer`, `basic`, `header` or `oauth`; `None` for anything else."""
    if isinstance(auth, BaseModel):
        return next(iter(type(auth).model_fields))
    named = list(auth) if isinstance(auth, Mapping) else [auth]
    found = [kind for kind in SECRETS_BY_AUTH if kind in named]
    return found[0] if len(found) == 1 else None


type Auth = Annotated[
    Annotated[Literal["none"], Tag("none")]
    | Annotated[Literal["bearer"], Tag("bearer")]
    | Annotated[Basic, Tag("basic")]
    | Annotated[HeaderKey, Tag("header")]
    | Annotated[OAuth, Tag("oauth")],
    Discriminator(
        auth_kind,
        custom_error_type="auth_kind",
        custom_error_message="Use none, bearer, {basic: user}, {header: name} or {oauth: {...}}",
    ),
]


class ErrorPlaces(BaseModel):
    """Where an answer, of any status, says that the request failed.

    `message` is the only text of an error answer that people get to see. With `code`, an answer is a failure
    when it has a code that is not in `fine`; without, when it has a message. Codes in `transient` mean that
    nothing was done and that it is worth trying again.
    """

    model_config = MODEL
    message: Place
    code: Place | None = None
    fine: tuple[str, ...] = ()
    transient: tuple[str, ...] = ()


class RestSettings(BaseModel):
    """How to reach the system. In a sandbox deployment the adapter refuses to write to `production_hosts`."""

    model_config = MODEL

    base_url: Url
    auth: Auth = "none"
    headers: dict[HeaderName, Printable] = Field(default_factory=dict)
    timeout: float = Field(default=60, ge=0.1, le=600, description="Seconds for one whole answer.")
    max_bytes: int = Field(
        default=20 * _MEGABYTE, ge=1_000, le=500 * _MEGABYTE, description="Largest answer, unpacked."
    )
    check: Path | None = Field(default=None, description="A path that the connection test reads.")
    errors: ErrorPlaces | None = None
    production_hosts: tuple[str, ...] = ()
    operations: dict[Identifier, AnyOperation] = Field(min_length=1)

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def is_production_host(self) -> bool:
        """Whether the host is listed in `production_hosts`."""
        host = plain_host(urlsplit(self.base_url).hostname or "")
        return host in map(plain_host, self.production_hosts)
