"""Bearer tokens: what is proved, and everything that must not pass."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.identity import issuer_keys
from adapters.identity.issuer_keys import IssuerKeys
from kernel.errors import Unauthenticated, Unavailable
from kernel.people import Role
from tests.integration.identity.requests import bearing, request
from tests.support.answering import Answering
from triggers.identity.claims import EntraPeople
from triggers.identity.tokens import Tokens

TENANT, OTHER, STRANGER = (f"1b2c3d4e-0000-4000-8000-00000000000{last}" for last in "abc")
AUDIENCE = "api://sluice"
OID = "7d000000-0000-4000-8000-000000000007"
GROUP = "9a000000-0000-4000-8000-000000000009"
RSA = rsa.generate_private_key(65537, 2048)
RSA_2 = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def published(key: Any) -> dict[str, Any]:
    """The public half of a key, as issuers publish it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Away:
    """A time so many seconds from when a token is made."""

    seconds: int


def _at(now: int, value: Any) -> Any:
    return now + value.seconds if isinstance(value, Away) else value


class Tenant:
    """An issuer whose keys a test holds. Every key is published under the number of its place."""

    def __init__(self, server: Answering) -> None:
        self.server, self.clock = server, Clock()
        self.keys: list[Any] = [RSA, EC]
        self.extra: list[dict[str, Any]] = []
        self.failing = False
        for tenant in (TENANT, OTHER, STRANGER):
            server.replies[f"/{tenant}/v2.0/.well-known/openid-configuration"] = self._document(tenant)
        server.replies["/keys"] = lambda _asked: (500, {}) if self.failing else (200, self._jwks())
        people = EntraPeople(
            TENANT, frozenset({TENANT, OTHER}), {"finance": GROUP}, {"finance": Role.APPROVER},
            lambda _user: frozenset({GROUP}),
        )  # fmt: skip
        self.tokens = Tokens(IssuerKeys(server.url, self.clock), frozenset({AUDIENCE, "client"}), people)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims that are right, but for the changes; `None` leaves one out."""
        now = int(time.time())
        given = {
            "iss": f"{self.server.url}/{TENANT}/v2.0", "aud": AUDIENCE, "tid": TENANT, "oid": OID,
            "sub": "pairwise", "scp": "use", "iat": now, "nbf": now, "exp": now + 600, "name": "Ann Ace",
            "preferred_username": "ann@example.com", "roles": ["viewer"], **changes,
        }  # fmt: skip
        return {name: _at(now, value) for name, value in given.items() if value is not None}

    def asks(self) -> int:
        """How often keys were asked for."""
        return self.server.count("/keys")

    def _document(self, tenant: str) -> Callable[[Any], Any]:
        issuer = f"{self.server.url}/{tenant}/v2.0"
        return lambda _asked: (200, {"issuer": issuer, "jwks_uri": f"{self.server.url}/keys"})

    def _jwks(self) -> dict[str, Any]:
        keys = [{**published(key), "kid": str(place), "use": "sig"} for place, key in enumerate(self.keys)]
        return {"keys": keys + self.extra}


@pytest.fixture
def tenant(server: Answering) -> Tenant:
    return Tenant(server)


def signed(claims: Mapping[str, Any], key: Any = RSA, algorithm: str = "RS256", **header: Any) -> str:
    """A token."""
    return jwt.encode(dict(claims), key, algorithm, headers={"kid": "0", **header})


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def refused(tenant: Tenant, token: str) -> str:
    """What is said of a token that is refused; never the token."""
    with pytest.raises(Unauthenticated) as caught:
        tenant.tokens(bearing(token))
    for piece in token.split("."):
        assert len(piece) < 9 or piece not in f"{caught.value} {caught.value.faults}"
    return caught.value.message


# What passes --------------------------------------------------------------------------------------


def test_a_right_token_names_a_person(tenant: Tenant) -> None:
    person = tenant.tokens(
        bearing(signed(tenant.claims(groups=[GROUP, str(uuid4())], roles=["operator", "month-end"])))
    )
    assert person is not None
    assert (person.id, person.name, person.email) == (f"entra:{OID}", "Ann Ace", "ann@example.com")
    assert person.roles == {Role.OPERATOR, Role.APPROVER}
    assert person.groups == {"finance", "operator", "month-end"}
    assert (person.machine, person.scopes) == (False, None)
    assert "ann@" not in repr(person)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "client"},
        {"aud": ["somebody", AUDIENCE]},
        {"iss": f"https://sts.windows.net/{TENANT}/"},
        {"nbf": None},
        {"exp": Away(-30)},
        {"nbf": Away(30), "iat": Away(30)},
    ],
)
def test_forms_and_clocks_that_are_right_enough(tenant: Tenant, changes: dict[str, Any]) -> None:
    assert tenant.tokens(bearing(signed(tenant.claims(**changes)))) is not None


def test_an_elliptic_key_and_another_allowed_tenant(tenant: Tenant) -> None:
    claims = tenant.claims(tid=OTHER, iss=f"{tenant.server.url}/{OTHER}/v2.0")
    person = tenant.tokens(bearing(signed(claims, EC, "ES256", kid="1")))
    assert person is not None
    assert person.roles == {Role.VIEWER}


@pytest.mark.parametrize(
    "claims", [{"idtyp": "app"}, {"scp": None, "sub": OID, "name": None, "preferred_username": None}]
)
def test_an_application_is_a_machine(tenant: Tenant, claims: dict[str, Any]) -> None:
    person = tenant.tokens(bearing(signed(tenant.claims(**claims))))
    assert person is not None
    assert person.machine


@pytest.mark.parametrize("sign", [{"hasgroups": True}, {"_claim_names": {"groups": "src1"}}])
def test_too_many_groups_are_asked_for(tenant: Tenant, sign: dict[str, Any]) -> None:
    person = tenant.tokens(bearing(signed(tenant.claims(**sign))))
    assert person is not None
    assert person.groups == {"finance", "viewer"}
    elsewhere = tenant.claims(tid=OTHER, iss=f"{tenant.server.url}/{OTHER}/v2.0", **sign)
    foreigner = tenant.tokens(bearing(signed(elsewhere)))
    assert foreigner is not None
    assert foreigner.groups == {"viewer"}  # our directory knows nothing of them


def test_groups_that_cannot_be_found_out_are_no_groups_but_a_refusal(tenant: Tenant) -> None:
    def away(_user: str) -> frozenset[str]:
        raise Unavailable("Microsoft Graph is not reachable.")

    people = EntraPeople(TENANT, frozenset({TENANT}), {"finance": GROUP}, {}, away)
    tokens = Tokens(IssuerKeys(tenant.server.url), frozenset({AUDIENCE}), people)
    with pytest.raises(Unavailable):
        tokens(bearing(signed(tenant.claims(hasgroups=True))))
    assert tokens(bearing(signed(tenant.claims()))) is not None


def test_no_token_is_none(tenant: Tenant) -> None:
    assert tenant.tokens(request()) is None
    assert tenant.tokens(request(Authorization="Basic YTpi")) is None


# What does not ------------------------------------------------------------------------------------

WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "expired": ({"exp": Away(-61)}, "expired"),
    "not yet valid": ({"nbf": Away(90)}, "not valid yet"),
    "made in the future": ({"iat": Away(90)}, "not valid yet"),
    "another audience": ({"aud": "api://elsewhere"}, "another application"),
    "an empty audience": ({"aud": []}, "lacks a claim"),
    "another issuer": ({"iss": "https://evil.example.com"}, "another issuer"),
    "the issuer of another tenant": ({"iss": f"https://sts.windows.net/{OTHER}/"}, "another issuer"),
    "a tenant that is not allowed": ({"tid": STRANGER}, "may not come"),
    "no tenant": ({"tid": None}, "may not come"),
    "a tenant that is a path": ({"tid": "../keys"}, "may not come"),
    "an object id that is none": ({"oid": "key:1"}, "no object id"),
    **{f"no {name}": ({name: None}, "lacks a claim") for name in ("iss", "exp", "iat", "sub", "oid")},
    "no aud": ({"aud": None}, ""),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_wrong_claims_are_refused(tenant: Tenant, changes: dict[str, Any], words: str) -> None:
    assert words in refused(tenant, signed(tenant.claims(**changes)))


def test_an_unsigned_token_is_refused(tenant: Tenant) -> None:
    for name in ("none", "None", "NONE", "nOnE"):
        token = f"{part({'alg': name, 'typ': 'JWT', 'kid': '0'})}.{part(tenant.claims())}."
        assert "not signed with one of" in refused(tenant, token)
    token = f"{part({'alg': 'RS256', 'kid': '0'})}.{part(tenant.claims())}."
    assert "signature" in refused(tenant, token)


def test_the_public_key_is_no_shared_secret(tenant: Tenant) -> None:
    """Algorithm confusion: an HMAC keyed with what everybody knows."""
    public = RSA.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    ):
        for name in ("HS256", "RS256", "ES256"):
            said = f"{part({'alg': name, 'kid': '0'})}.{part(tenant.claims())}"
            mac = hmac.digest(secret, said.encode(), hashlib.sha256)
            refused(tenant, f"{said}.{part(mac)}")


def test_a_key_is_used_with_its_own_algorithm_only(tenant: Tenant) -> None:
    refused(tenant, signed(tenant.claims(), EC, "ES256", kid="0"))
    refused(tenant, signed(tenant.claims(), RSA, "RS256", kid="1"))
    for algorithm in ("RS384", "RS512", "PS256"):
        assert "not signed with one of" in refused(tenant, signed(tenant.claims(), RSA, algorithm))


def test_a_shared_secret_among_the_keys_is_not_used(tenant: Tenant) -> None:
    tenant.extra = [
        {"kty": "oct", "kid": "s", "k": part(b"s" * 32), "use": "sig"},
        {"kid": "x"},
        {"kty": "RSA", "kid": "y"},
    ]
    refused(tenant, signed(tenant.claims(), "s" * 32, "HS256", kid="s"))
    assert tenant.tokens(bearing(signed(tenant.claims()))) is not None


def test_a_key_for_encryption_is_not_used(tenant: Tenant) -> None:
    public = published(RSA_2)
    tenant.extra = [{**public, "kid": "e", "use": "enc"}]
    assert "does not have" in refused(tenant, signed(tenant.claims(), RSA_2, kid="e"))


def test_a_key_in_the_token_is_not_used(tenant: Tenant) -> None:
    public = published(RSA_2)
    url = f"{tenant.server.url}/evil"
    for header in ({"jwk": public}, {"jku": url}, {"x5u": url}, {"jku": url, "kid": ""}):
        refused(tenant, signed(tenant.claims(), RSA_2, **header))
    assert tenant.server.count("/evil") == 0
    refused(tenant, signed(tenant.claims(), crit=["x"], x=1))


def test_changed_claims_are_refused(tenant: Tenant) -> None:
    header, _, signature = signed(tenant.claims()).split(".")
    assert "signature" in refused(tenant, f"{header}.{part(tenant.claims(roles=['admin']))}.{signature}")


@pytest.mark.parametrize(
    "token", ["", "x", "a.b", "a.b.c", ".....", "é.é.é", "x" * 40_000, f"{part([])}.{part([])}.x"]
)
def test_what_is_no_token_is_refused(tenant: Tenant, token: str) -> None:
    refused(tenant, token)
    assert tenant.asks() == 0


NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "tid", "iss", "aud", "exp", "oid"])
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
OBJECTS = st.recursive(VALUES, lambda inner: st.dictionaries(NAMES, inner))


@given(OBJECTS, OBJECTS, st.binary(max_size=8))
@settings(max_examples=100, deadline=None)
def test_anything_else_is_refused(header: Any, claims: Any, signature: bytes) -> None:
    tokens = Tokens(
        IssuerKeys("http://127.0.0.1:9"),
        frozenset({AUDIENCE}),
        EntraPeople(TENANT, frozenset({TENANT}), {}, {}, frozenset),
    )
    with pytest.raises(Unauthenticated):
        tokens.person(f"{part(header)}.{part(claims)}.{part(signature)}")


# Keys that change ---------------------------------------------------------------------------------


def test_keys_are_asked_for_once_an_hour(tenant: Tenant) -> None:
    for _ in range(5):
        tenant.tokens(bearing(signed(tenant.claims())))
    assert tenant.asks() == 1
    tenant.clock.now += issuer_keys.FRESH_SECONDS + 1
    tenant.tokens(bearing(signed(tenant.claims())))
    assert tenant.asks() == 2


def test_a_new_key_is_found_and_an_old_one_forgotten(tenant: Tenant) -> None:
    tenant.tokens(bearing(signed(tenant.claims())))
    tenant.keys = [EC, RSA, RSA_2]
    tenant.clock.now += issuer_keys.AGAIN_SECONDS
    assert tenant.tokens(bearing(signed(tenant.claims(), RSA_2, kid="2"))) is not None
    assert tenant.asks() == 2
    refused(tenant, signed(tenant.claims()))  # `0` is another key now


def test_keys_that_nobody_has_are_asked_for_once_a_minute(tenant: Tenant) -> None:
    for place in range(20):
        assert "does not have" in refused(tenant, signed(tenant.claims(), kid=f"unknown {place}"))
    assert tenant.asks() == 1
    tenant.clock.now += issuer_keys.AGAIN_SECONDS
    refused(tenant, signed(tenant.claims(), kid="still unknown"))
    refused(tenant, signed(tenant.claims(), kid="and another"))
    assert tenant.asks() == 2


def test_keys_stay_good_for_a_day_when_the_issuer_is_away(tenant: Tenant) -> None:
    tenant.tokens(bearing(signed(tenant.claims())))
    tenant.failing = True
    tenant.clock.now += issuer_keys.STALE_SECONDS - 60
    assert tenant.tokens(bearing(signed(tenant.claims()))) is not None
    tenant.clock.now += 120
    with pytest.raises(Unavailable, match="cannot be read now"):
        tenant.tokens(bearing(signed(tenant.claims())))
    tenant.failing = False
    tenant.clock.now += issuer_keys.AGAIN_SECONDS
    assert tenant.tokens(bearing(signed(tenant.claims()))) is not None


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example.com"},
        {"issuer": None},
        {},
        {"jwks_uri": "http://evil.example.com/keys"},
    ],
)
def test_an_issuer_that_is_not_itself_is_not_believed(tenant: Tenant, document: dict[str, Any]) -> None:
    right = {"issuer": f"{tenant.server.url}/{TENANT}/v2.0", "jwks_uri": f"{tenant.server.url}/keys"}
    path = f"/{TENANT}/v2.0/.well-known/openid-configuration"
    tenant.server.replies[path] = lambda _asked: (200, {**right, **document} if document else [])
    with pytest.raises(Unavailable):
        tenant.tokens(bearing(signed(tenant.claims())))
