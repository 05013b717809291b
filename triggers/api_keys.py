"""Endpoints for API keys."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime, Field

from commands.api_keys import MadeKey, NewKey, create_api_key, revoke_api_key
from kernel.people import Role
from store.api_keys import ApiKeyRow, list_keys
from triggers.bodies import Body
from triggers.filters import PAGING, id_of
from triggers.http import Answer, Endpoint, Request
from triggers.views import Page, View


class CreateApiKey(Body):
    """An API key for a machine."""

    name: str
    roles: list[Role]
    scopes: list[str] | None = None
    expires_at: AwareDatetime


class RevokeApiKey(Body):
    """Why a key is not to be used any more."""

    reason: str = ""


class ApiKeyView(View):
    """A key. `scopes` null: all that its roles may; `last_used_at` is right to a minute."""

    id: UUID
    name: str
    roles: list[Role]
    scopes: list[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    @classmethod
    def of(cls, row: ApiKeyRow) -> Self:
        """The view of a stored key."""
        scopes = None if row.scopes is None else sorted(row.scopes)
        return cls.model_validate({**vars(row), "roles": sorted(row.roles), "scopes": scopes})


class CreatedApiKeyView(View):
    """A new key. `secret` is what its user sends; it is not shown again."""

    key: ApiKeyView
    secret: str = Field(repr=False)

    @classmethod
    def of_made(cls, made: MadeKey) -> Self:
        """The view of a key that was made now."""
        return cls(key=ApiKeyView.of(made.row), secret=made.secret)


def create(request: Request) -> Answer:
    """Make a key; this answer is the only one that has its secret."""
    given = request.body(CreateApiKey)
    wanted = NewKey(given.name, given.roles, given.scopes, given.expires_at)
    made = create_api_key(request.deployment, wanted, request.person)
    return Answer(CreatedApiKeyView.of_made(made), 201)


def index(request: Request) -> Answer:
    """Keys, newest first, without their secrets."""
    with request.deployment.database.reading() as connection:
        rows = list_keys(connection, id_of(request, "cursor"), request.limit + 1)
    return Answer(Page[ApiKeyView].cut(rows, request.limit, ApiKeyView.of))


def revoke(request: Request) -> Answer:
    """Make a key useless from now on."""
    reason = request.body(RevokeApiKey).reason
    row = revoke_api_key(request.deployment, request.id("id"), reason, request.person)
    return Answer(ApiKeyView.of(row))


ENDPOINTS = (
    Endpoint(
        "api_keys_create",
        "POST",
        "api-keys",
        "Make an API key; its secret is shown once",
        create,
        CreatedApiKeyView,
        takes=CreateApiKey,
        status=201,
        command="create_api_key",
    ),
    Endpoint(
        "api_keys_list",
        "GET",
        "api-keys",
        "List API keys, newest first",
        index,
        Page[ApiKeyView],
        query=PAGING,
        command="list_api_keys",
    ),
    Endpoint(
        "api_keys_revoke",
        "POST",
        "api-keys/{id}/revoke",
        "Make an API key useless from now on",
        revoke,
        ApiKeyView,
        takes=RevokeApiKey,
        command="revoke_api_key",
    ),
)
