"""API keys: shown once, kept as a digest, limited, and of no use when their time is over."""

import hashlib
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from kernel.clock import utc_now
from kernel.errors import Unauthenticated
from kernel.people import Person, Role
from tests.integration.api.test_api import Reply, call
from tests.integration.identity.requests import bearing, request
from tests.support.world import ACTOR, World
from triggers.identity.machines import ApiKeys


def body(world: World, **changes: Any) -> dict[str, Any]:
    """What a key is asked for with."""
    expires = world.deployment.clock() + timedelta(days=30)
    return {"name": "nightly", "roles": ["operator"], "expires_at": expires.isoformat(), **changes}


def made(world: World, **changes: Any) -> Any:
    """A key as it is answered, once."""
    reply = call(world, "api_keys_create", body=body(world, **changes))
    assert reply.status == 201, reply.body
    return reply.body


def holder(world: World, secret: str) -> Person | None:
    return ApiKeys(world.deployment.database, world.deployment.clock)(request(X_Api_Key=secret))


def test_a_key_is_shown_once_and_kept_as_a_digest(world: World) -> None:
    key = made(world)
    assert key["secret"].startswith("slu_")
    assert len(key["secret"]) == 4 + 43  # 256 bits
    assert made(world)["secret"] != key["secret"]
    shown = call(world, "api_keys_list").body["items"]
    assert key["key"] in shown
    everything = [
        str(row) for table in ("api_key", "audit_event") for row in world.sql(f"SELECT * FROM sluice.{table}")
    ]
    assert hashlib.sha256(key["secret"].encode()).hexdigest() in "".join(everything)
    assert key["secret"][4:] not in "".join(everything) + str(shown)


def test_a_key_names_a_machine(world: World) -> None:
    key = made(world, scopes=["start_run", "get_run"])
    machines = ApiKeys(world.deployment.database, world.deployment.clock)
    for way in (request(X_Api_Key=key["secret"]), bearing(key["secret"])):
        person = machines(way)
        assert person is not None
        assert (person.id, person.name, person.machine) == (f"key:{key['key']['id']}", "nightly", True)
        assert person.roles == {Role.OPERATOR}
        assert person.scopes == frozenset({"start_run", "get_run"})
    assert machines(request()) is None
    assert machines(bearing("eyJ.eyJ.x")) is None  # a token of someone else's


@pytest.mark.parametrize("wrong", ["", "slu_", "slu_" + "A" * 43, "nonsense", "slü_"])
def test_guesses_are_refused(world: World, wrong: str) -> None:
    with pytest.raises(Unauthenticated, match="no such API key"):
        holder(world, wrong)


def test_a_key_ends(world: World) -> None:
    key, other = made(world), made(world, name="other")
    world.deployment.clock.skip(timedelta(days=30))  # type: ignore[attr-defined]
    with pytest.raises(Unauthenticated, match="'nightly' expired on"):
        holder(world, key["secret"])
    revoked = call(world, "api_keys_revoke", id=other["key"]["id"], body={"reason": "lost"}).body
    assert (revoked["revoked_by"], revoked["id"]) == (ACTOR, other["key"]["id"])
    with pytest.raises(Unauthenticated, match="'other' was revoked"):
        holder(world, other["secret"])


def test_revoking_again_changes_nothing(world: World) -> None:
    key = made(world)["key"]["id"]
    first, second = (call(world, "api_keys_revoke", id=key, body={"reason": "lost"}) for _ in range(2))
    assert first.body == second.body
    events = call(world, "audit_list", query={"stream": "api_keys"}).body["items"]
    assert [event["action"] for event in events] == ["api_key.revoked", "api_key.created"]
    assert call(world, "api_keys_revoke", id=str(uuid4()), body={}).status == 404


def test_use_is_noted_once_a_minute(world: World) -> None:
    key = made(world)

    def used() -> datetime | None:
        [row] = world.sql("SELECT last_used_at FROM sluice.api_key")
        found: datetime | None = row[0]
        return found

    assert used() is None
    holder(world, key["secret"])
    first = used()
    assert first is not None
    assert abs(first - utc_now()) < timedelta(minutes=1)
    holder(world, key["secret"])
    assert used() == first
    world.deployment.clock.skip(timedelta(seconds=61))  # type: ignore[attr-defined]
    holder(world, key["secret"])
    assert used() > first  # type: ignore[operator]


def refused(reply: Reply) -> set[str]:
    assert reply.status == 400, reply.body
    return {fault["path"] for fault in reply.body["errors"]}


def test_everything_that_is_wrong_is_told_at_once(world: World) -> None:
    past = (utc_now() - timedelta(days=1)).isoformat()
    wrong = body(world, name=" ", roles=[], scopes=["start_run", "conquer"], expires_at=past)
    assert refused(call(world, "api_keys_create", body=wrong)) == {
        "/name",
        "/roles",
        "/scopes/1",
        "/expires_at",
    }
    late = (utc_now() + timedelta(days=400)).isoformat()
    assert refused(call(world, "api_keys_create", body=body(world, expires_at=late))) == {"/expires_at"}
    assert refused(call(world, "api_keys_create", body=body(world, roles=["king"]))) == {"/roles/0"}
    naive = utc_now().replace(tzinfo=None).isoformat()
    assert refused(call(world, "api_keys_create", body=body(world, expires_at=naive))) == {"/expires_at"}
    assert refused(call(world, "api_keys_create", body={"name": "x", "roles": ["viewer"]})) == {"/expires_at"}


def test_pages_list_every_key_once(world: World) -> None:
    ids = [made(world, name=f"key {n}")["key"]["id"] for n in range(3)]
    first = call(world, "api_keys_list", query={"limit": "2"}).body
    second = call(world, "api_keys_list", query={"limit": "2", "cursor": first["next"]}).body
    assert [item["id"] for item in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None
