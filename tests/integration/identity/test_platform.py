"""The principal of App Service Authentication: read as the platform writes it, and only where it does."""

import base64
import json
from typing import Any

import pytest

from kernel.clock import utc_now
from kernel.errors import Forbidden, Unauthenticated
from kernel.people import Role
from kernel.settings import read_settings
from tests.integration.identity.requests import request
from tests.support.world import World
from tests.unit.kernel.test_settings import GOOD, TENANT
from triggers.http import Identify
from triggers.identity.building import build_identity
from triggers.identity.claims import EntraPeople
from triggers.identity.principal import HEADER, PlatformPeople

OID = "7d000000-0000-4000-8000-000000000007"
GROUP = "9a000000-0000-4000-8000-000000000009"
ROLE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
NAME = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
LONG = {
    "http://schemas.microsoft.com/identity/claims/objectidentifier": OID,
    "http://schemas.microsoft.com/identity/claims/tenantid": TENANT,
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress": "ann@example.com",
    NAME: "Ann Ace",
}
SHORT = {"oid": OID, "tid": TENANT, "preferred_username": "ann@example.com", "name": "Ann Ace"}


def principal(claims: Any, *more: tuple[str, str], **changes: str) -> str:
    """The header as the platform writes it."""
    pairs = [*claims.items(), *more]
    said = {
        "auth_typ": "aad", "name_typ": NAME, "role_typ": ROLE,
        "claims": [{"typ": kind, "val": value} for kind, value in pairs], **changes,
    }  # fmt: skip
    return base64.b64encode(json.dumps(said).encode()).decode()


def people() -> PlatformPeople:
    return PlatformPeople(
        EntraPeople(
            TENANT,
            frozenset({TENANT}),
            {"finance": GROUP},
            {"finance": Role.APPROVER},
            lambda _user: frozenset({GROUP}),
        )
    )


def sent(header: str, method: str = "GET", **headers: str) -> Any:
    return request(method, **{HEADER: header}, **headers)


@pytest.mark.parametrize(
    ("claims", "role"), [(LONG, ROLE), (SHORT, "roles"), (SHORT, "https://contoso.example.com/role")]
)
def test_claims_are_found_under_all_their_names(claims: Any, role: str) -> None:
    header = principal(
        claims, (role, "operator"), (role, "month-end"), ("groups", GROUP), ("groups", "other"), role_typ=role
    )
    person = people()(sent(header))
    assert person is not None
    assert (person.id, person.name, person.email) == (f"entra:{OID}", "Ann Ace", "ann@example.com")
    assert person.roles == {Role.OPERATOR, Role.APPROVER}
    assert person.groups == {"operator", "month-end", "finance"}


@pytest.mark.parametrize(
    ("claims", "machine"),
    [
        ([("idtyp", "app")], True),
        ([("sub", OID)], True),
        ([("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier", OID)], True),
        ([("sub", OID), ("scp", "use")], False),
        ([("sub", "pairwise")], False),
    ],
)
def test_an_application_is_a_machine(claims: list[tuple[str, str]], machine: bool) -> None:
    person = people()(sent(principal(SHORT, *claims)))
    assert person is not None
    assert person.machine is machine


@pytest.mark.parametrize("claim", [("_claim_names", '{"groups":"src1"}'), ("hasgroups", "true")])
def test_too_many_groups_are_asked_for(claim: tuple[str, str]) -> None:
    person = people()(sent(principal(SHORT, claim)))
    assert person is not None
    assert person.groups == {"finance"}


@pytest.mark.parametrize(
    "header",
    [
        "", "!", "e30=", base64.b64encode(b"[]").decode(), base64.b64encode(b"\xff").decode(),
        principal(SHORT, auth_typ="google"),
        principal({**SHORT, "tid": "1b2c3d4e-0000-4000-8000-00000000000c"}),
        principal({"oid": OID}),
        principal({"tid": TENANT}),
    ],
)  # fmt: skip
def test_what_is_no_principal_is_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        people()(sent(header))


def test_pages_of_other_sites_change_nothing() -> None:
    header = principal(SHORT)
    for headers in (
        {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": ""},
        {"Origin": "https://evil.example.com"}, {"Origin": "null"},
    ):  # fmt: skip
        with pytest.raises(Forbidden, match="another site"):
            people()(sent(header, "POST", Host="sluice.example.com", **headers))
        assert people()(sent(header, "GET", Host="sluice.example.com", **headers))
    for headers in (
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
        {},
        {"Origin": "https://sluice.example.com"},
    ):
        assert people()(sent(header, "POST", Host="sluice.example.com", **headers))


@pytest.mark.parametrize(("says", "counts"), [("true", True), ("false", False), ("", False)])
def test_the_header_counts_only_where_the_platform_says_so(world: World, says: str, counts: bool) -> None:
    settings = read_settings({**GOOD, "WEBSITE_AUTH_ENABLED": says})
    identify: Identify = build_identity(settings, world.deployment.database, utc_now).identify
    if counts:
        assert identify(sent(principal(SHORT))).id == f"entra:{OID}"
        return
    with pytest.raises(Unauthenticated, match="Nobody has signed in"):
        identify(sent(principal(SHORT)))
    with pytest.raises(Unauthenticated, match="Nobody has signed in"):
        identify(request(X_Sluice_Person="ada"))
