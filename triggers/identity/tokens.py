"""Bearer tokens of Entra ID, checked here: signature, issuer, audience, time, tenant. Imports PyJWT late."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import azure.functions as func

from adapters.identity.issuer_keys import ALGORITHMS, IssuerKeys
from kernel.errors import Unauthenticated
from kernel.people import Person
from triggers.identity.bearer import bearer_token
from triggers.identity.claims import Claims, EntraPeople

if TYPE_CHECKING:
    from jwt.exceptions import PyJWTError

SKEW_SECONDS = 60
"""How far our clock and the issuer's may be apart."""
MAX_CHARACTERS = 32_000
_NEEDED = ("iss", "aud", "exp", "iat", "sub", "tid", "oid")
_V1_ISSUER = "https://sts.windows.net/{}/"
_SAID: Mapping[str, str] = {
    "ExpiredSignatureError": "It has expired; get a new one.",
    "ImmatureSignatureError": "It is not valid yet; compare the clocks.",
    "InvalidAudienceError": "It is for another application.",
    "InvalidIssuerError": "It is of another issuer.",
    "InvalidSignatureError": "Its signature is wrong.",
    "MissingRequiredClaimError": "It lacks a claim that it needs.",
}


class Tokens:
    """Tokens that are for one of the `audience`."""

    def __init__(self, keys: IssuerKeys, audience: frozenset[str], people: EntraPeople) -> None:
        self._keys, self._audience, self._people = keys, audience, people

    def __call__(self, request: func.HttpRequest) -> Person | None:
        """Whom the request's token names, if it has one."""
        token = bearer_token(request)
        return None if token is None else self.person(token)

    def person(self, token: str) -> Person:
        """Whom a token names. Raises `Unauthenticated` unless everything about it is right."""
        from jwt.exceptions import PyJWTError

        if len(token) > MAX_CHARACTERS:
            raise _refused("It is too long.")
        try:
            return self._people.person(_claims(self._verified(token)))
        except PyJWTError as exc:
            raise _refused(_words(exc)) from exc

    def _verified(self, token: str) -> Mapping[str, Any]:
        """Which key is to be used is read from the token before anything is proved: so it may only be one of
        an allowed tenant, and is used with its own algorithm, whatever the token says."""
        import jwt

        unproved = jwt.decode_complete(token, options={"verify_signature": False})
        header, tenant = unproved["header"], str(unproved["payload"].get("tid"))
        if header.get("alg") not in ALGORITHMS.values() or "crit" in header:
            raise _refused(f"It is not signed with one of {', '.join(sorted(ALGORITHMS.values()))}.")
        self._people.check_tenant(tenant)
        key = self._keys.key(tenant, str(header.get("kid")))
        if key is None:
            raise _refused("It is signed with a key that its issuer does not have.")
        verified: Mapping[str, Any] = jwt.decode(
            token, key, algorithms=[key.algorithm_name], audience=self._audience,
            issuer=[self._keys.issuer(tenant), _V1_ISSUER.format(tenant)],
            leeway=SKEW_SECONDS, options={"require": list(_NEEDED)},
        )  # fmt: skip
        return verified


def _claims(token: Mapping[str, Any]) -> Claims:
    email = token.get("email") or token.get("preferred_username") or token.get("upn") or ""
    name = token.get("name") or token.get("app_displayname") or ""
    return Claims(
        _object_id(token["oid"]), str(token["tid"]), str(name), str(email),
        _texts(token.get("roles")), _texts(token.get("groups")), _is_overage(token), _is_machine(token),
    )  # fmt: skip


def _object_id(value: Any) -> str:
    try:
        return str(UUID(str(value)))
    except ValueError as exc:
        raise _refused("Its `oid` is no object id.") from exc


def _is_overage(token: Mapping[str, Any]) -> bool:
    names = token.get("_claim_names")
    return bool(token.get("hasgroups")) or (isinstance(names, dict) and "groups" in names)


def _is_machine(token: Mapping[str, Any]) -> bool:
    """Tokens of applications have no `scp`, and themselves as subject; `idtyp` says it if that is set up."""
    return token.get("idtyp") == "app" or ("scp" not in token and token["sub"] == token["oid"])


def _texts(value: Any) -> frozenset[str]:
    return frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list) else frozenset()


def _words(error: "PyJWTError") -> str:
    return next(
        (_SAID[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _SAID), "It is none."
    )


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"The bearer token is refused. {why}")
