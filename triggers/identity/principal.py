"""The principal that App Service Authentication puts in a header.

Callers cannot set the header while the feature is on; while it is off, everybody can, and it must not count:
learn.microsoft.com/azure/app-service/configure-authentication-user-identities.
"""

import base64
import binascii
from collections.abc import Iterable

import azure.functions as func
from pydantic import BaseModel, ValidationError

from kernel.errors import Unauthenticated
from kernel.people import Person
from triggers.identity.claims import Claims, EntraPeople
from triggers.identity.origins import refuse_foreign_origin

HEADER = "X-MS-CLIENT-PRINCIPAL"
_PROVIDER = "aad"
_SCHEMA = "http://schemas.microsoft.com/identity/claims/"
_WS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_OBJECT_ID = ("oid", _SCHEMA + "objectidentifier")
_TENANT = ("tid", _SCHEMA + "tenantid")
_SUBJECT = ("sub", _WS + "nameidentifier")
_SCOPE = ("scp", _SCHEMA + "scope")
_EMAIL = ("email", _WS + "emailaddress", "preferred_username", "upn", _WS + "upn")


class _Claim(BaseModel):
    typ: str
    val: str


class Principal(BaseModel):
    """What the header says. `name_typ` and `role_typ` are the types that claims of names and roles have."""

    auth_typ: str
    name_typ: str
    role_typ: str
    claims: list[_Claim]

    def all(self, kinds: Iterable[str]) -> frozenset[str]:
        """The values of claims of these types."""
        wanted = frozenset(kinds)
        return frozenset(claim.val for claim in self.claims if claim.typ in wanted)

    def first(self, kinds: Iterable[str]) -> str:
        """The value of the first of these types that there is."""
        found = (claim.val for kind in kinds for claim in self.claims if claim.typ == kind)
        return next(found, "")


class PlatformPeople:
    """People whom the platform has signed in. Only for where it says that it does."""

    def __init__(self, people: EntraPeople) -> None:
        self._people = people

    def __call__(self, request: func.HttpRequest) -> Person | None:
        """Whom the platform names, if anybody."""
        header = request.headers.get(HEADER)
        if header is None:
            return None
        refuse_foreign_origin(request)
        return self._people.person(_claims(read_principal(header)))


def read_principal(header: str) -> Principal:
    """What a header says; raises `Unauthenticated` when it says nothing, or comes from another provider."""
    try:
        principal = Principal.model_validate_json(base64.b64decode(header))
    except (binascii.Error, ValidationError, ValueError) as exc:
        raise Unauthenticated("The platform's principal cannot be read.") from exc
    if principal.auth_typ != _PROVIDER:
        raise Unauthenticated("The platform has signed you in with something else than Entra ID.")
    return principal


def _claims(principal: Principal) -> Claims:
    object_id, tenant = principal.first(_OBJECT_ID), principal.first(_TENANT)
    if not object_id or not tenant:
        raise Unauthenticated("The platform's principal has no object id or no tenant.")
    overage = "groups" in "".join(principal.all(["_claim_names"])) or "true" in principal.all(["hasgroups"])
    return Claims(
        object_id, tenant, principal.first(["name", principal.name_typ]), principal.first(_EMAIL),
        principal.all([principal.role_typ, "roles"]), principal.all(["groups"]), overage,
        machine=_is_machine(principal, object_id),
    )  # fmt: skip


def _is_machine(principal: Principal, object_id: str) -> bool:
    """As for tokens: applications have no scope, and themselves as subject."""
    own = not principal.first(_SCOPE) and principal.first(_SUBJECT) == object_id
    return own or "app" in principal.all(["idtyp"])
