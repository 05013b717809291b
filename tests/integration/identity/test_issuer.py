"""Tokens of a certified OpenID provider, from the settings on."""

from collections.abc import Iterator

import pytest

from adapters.identity import issuer_keys
from kernel.clock import utc_now
from kernel.errors import Unauthenticated, Unavailable
from kernel.people import Role
from kernel.settings import read_settings
from tests.integration.identity.requests import bearing, request
from tests.support.oidc.issuer import AUDIENCE, TENANT, Issuer, running_issuer
from tests.support.world import World
from tests.unit.kernel.test_settings import GOOD
from triggers.http import Identify
from triggers.identity.building import build_identity

OID = "7d000000-0000-4000-8000-000000000007"
PERSON = {"tid": TENANT, "oid": OID, "scp": "use", "name": "Ann Ace", "roles": ["operator"]}


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    try:
        with running_issuer() as issuer:
            yield issuer
    except Unavailable as exc:
        pytest.skip(f"No OpenID provider here: {exc}")


@pytest.fixture
def identify(issuer: Issuer, world: World) -> Identify:
    environ = {
        **GOOD, "SLUICE_TENANT_ID": TENANT, "SLUICE_AUDIENCE": AUDIENCE, "SLUICE_AUTHORITY": issuer.authority,
    }  # fmt: skip
    return build_identity(read_settings(environ), world.deployment.database, utc_now).identify


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_names_a_person(issuer: Issuer, identify: Identify, world: World, algorithm: str) -> None:
    person = identify(bearing(issuer.token(PERSON, algorithm)))
    assert (person.id, person.name) == (f"entra:{OID}", "Ann Ace")
    assert person.roles == {Role.OPERATOR}
    assert world.sql("SELECT id, name FROM sluice.person") == [(f"entra:{OID}", "Ann Ace")]


def test_tokens_for_others_are_refused(issuer: Issuer, identify: Identify) -> None:
    for wrong in (
        issuer.token(PERSON, audience="api://elsewhere"),
        issuer.token({**PERSON, "tid": "1b2c3d4e-0000-4000-8000-00000000000b"}),
        issuer.token({"tid": TENANT}),
    ):
        with pytest.raises(Unauthenticated):
            identify(bearing(wrong))
    with pytest.raises(Unauthenticated, match="Nobody has signed in"):
        identify(request())


def test_new_keys_are_found(issuer: Issuer, identify: Identify, monkeypatch: pytest.MonkeyPatch) -> None:
    old = issuer.token(PERSON)
    identify(bearing(old))
    issuer.rotate()
    monkeypatch.setattr(issuer_keys, "AGAIN_SECONDS", 0.0)
    assert identify(bearing(issuer.token(PERSON))).id == f"entra:{OID}"
    with pytest.raises(Unauthenticated, match="does not have"):
        identify(bearing(old))
