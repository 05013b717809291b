"""The audit trail as auditors read it, and that nothing changes without coming up in it."""

import base64
import json
from datetime import timedelta

import psycopg

from kernel.clock import utc_now
from store import audit
from tests.integration.api.audited import CANARY, SAMPLES, UNCHANGING
from tests.integration.api.test_api import BY_NAME, call, example
from tests.support.world import ACTOR, ADA, SMALL_LOG, World, drive
from triggers.blueprint import ENDPOINTS

CHANGING = sorted({endpoint.name for endpoint in ENDPOINTS if endpoint.method != "GET"} - UNCHANGING)


# Every change is recorded ---------------------------------------------------------------------------


def test_every_endpoint_that_changes_something_has_a_sample() -> None:
    assert sorted(SAMPLES) == CHANGING, "add a call to tests/integration/api/audited.py"
    assert set(BY_NAME) >= UNCHANGING


def events_since(world: World, last: int) -> list[tuple[int, str, str]]:
    """Number, actor and details of later events."""
    query = "SELECT id, actor, details::text FROM sluice.audit_event WHERE id > %s ORDER BY id"
    return [(number, actor, details) for number, actor, details in world.sql(query, [last])]


def test_every_call_that_succeeds_leaves_an_event(world: World) -> None:
    for name, sample in SAMPLES.items():
        given = sample(world)
        last = max((number for number, _, _ in events_since(world, 0)), default=0)
        reply = call(world, name, **given)
        assert 200 <= reply.status < 300, (name, reply.body)
        assert {actor for _, actor, _ in events_since(world, last)} == {given.get("person", ADA).id}, name
    assert CANARY not in str(events_since(world, 0))
    assert call(world, "audit_verify").body["ok"]


def test_the_event_is_part_of_the_change(world: World) -> None:
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("REVOKE INSERT ON sluice.audit_event FROM sluice_app")
    for name in ("workflows_publish", "connectors_save", "object_types_save"):
        assert call(world, name, **SAMPLES[name](world)).status == 500
    assert world.sql("SELECT count(*) FROM sluice.workflow") == [(0,)]
    assert world.sql("SELECT count(*) FROM sluice.connector WHERE key = 'new'") == [(0,)]
    assert world.sql("SELECT count(*) FROM sluice.business_object_type WHERE name = 'new'") == [(0,)]


def test_a_connector_tells_which_settings_changed_but_not_their_values(world: World) -> None:
    body = {"system": "files", "settings": {"container": "aaa", "connection_type": "files"},
            "secrets": {"connection": "one"}}  # fmt: skip
    call(world, "connectors_save", key="new", body=body)
    body["settings"] = {"container": "bbb"}
    body["secrets"] = {"connection": "two"}
    call(world, "connectors_save", key="new", body=body)
    call(world, "connectors_save", key="new", body=body)
    events = call(world, "audit_list", query={"subject": "new"}).body["items"]
    told = [{name: event["details"][name] for name in ("created", "settings", "secrets")} for event in events]
    assert told == [
        {"created": False, "settings": [], "secrets": []},
        {"created": False, "settings": ["connection_type", "container"], "secrets": ["connection"]},
        {"created": True, "settings": ["connection_type", "container"], "secrets": ["connection"]},
    ]


def test_going_back_to_an_earlier_version_is_told(world: World) -> None:
    for text in (example(), example().replace(b"2500.00", b"3000.00"), example(), example()):
        call(world, "workflows_publish", data=text)
    events = call(world, "audit_list", query={"stream": "workflows"}).body["items"]
    told = [(event["action"], event["details"]["version"], event["details"]["before"]) for event in events]
    assert told == [
        ("workflow.activated", 1, 2), ("workflow.published", 2, 1), ("workflow.published", 1, None),
    ]  # fmt: skip


def test_a_run_is_told_from_its_start_to_its_end(world: World) -> None:
    world.publish()
    run = world.post(SMALL_LOG)
    events = call(world, "audit_list", query={"subject": str(run.id)}).body["items"]
    assert [(event["action"], event["actor"]) for event in events] == [
        ("run.succeeded", "sluice"), ("run.started", ACTOR),
    ]  # fmt: skip
    assert {event["stream"] for event in events} == {audit.run_stream(run.id)}


def test_a_pause_is_told_when_it_comes(world: World) -> None:
    world.publish()
    run = world.start(file=world.upload(SMALL_LOG))
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("UPDATE sluice.workflow_run SET requested = 'pause' WHERE id = %s", [run.id])
    drive(world.services, run.id)
    events = call(world, "audit_list", query={"subject": str(run.id)}).body["items"]
    assert [(event["action"], event["actor"]) for event in events] == [
        ("run.suspended", "sluice"), ("run.started", ACTOR),
    ]  # fmt: skip


# Reading it -----------------------------------------------------------------------------------------


def test_filters_narrow_and_pages_come_newest_first(world: World) -> None:
    world.publish()
    ids = [str(world.start(file="x").id) for _ in range(5)]
    items = []
    query = {"action": "run.*", "limit": "2"}
    while True:
        page = call(world, "audit_list", query=query).body
        items += page["items"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert [item["subject"] for item in items] == ids[::-1]
    assert {item["action"] for item in items} == {"run.started"}

    def found(**query: str) -> int:
        return len(call(world, "audit_list", query={"limit": "200", **query}).body["items"])

    assert found(action="run.started") == found(action="run.s*") == 5
    assert found(action="run.start") == found(action="r_n.*") == found(action="run.s*d") == 0
    assert found(actor=ACTOR) == found() == found(actor=ACTOR, since="2020-01-01T00:00:00Z")
    assert found(actor="nobody") == found(until="2020-01-01T00:00:00+01:00") == 0
    assert found(subject=ids[0]) == 1
    assert found(stream="workflows") == 1
    last = items[0]["at"]
    assert found(since=last) == 1
    assert found(until=last) == found() - 1
    assert found(since=(utc_now() + timedelta(hours=1)).isoformat()) == 0


def test_wrong_parameters_are_400(world: World) -> None:
    wrong = [
        {"since": "yesterday"},
        {"until": "2026-01-31"},
        {"since": "2026-01-31T12:00:00"},
        {"since": "2026-01-31T12:00:00 01:00"},
        {"cursor": "7"},
        {"cursor": cursor("x|7")},
        {"cursor": cursor("2026-01-31T12:00:00|7")},
        {"cursor": cursor("2026-01-31T12:00:00Z|99999999999999999999")},
    ]
    assert {call(world, "audit_list", query=query).status for query in wrong} == {400}
    assert call(world, "audit_list", query={"cursor": cursor("2026-01-31T12:00:00Z|7")}).status == 200


def cursor(text: str) -> str:
    """A cursor as it is sent."""
    return base64.urlsafe_b64encode(text.encode()).decode()


def test_verification_tells_what_was_done(world: World) -> None:
    world.publish()
    world.start(file="x")
    assert call(world, "audit_verify").body["ok"]
    assert call(world, "audit_verify", query={"stream": "nothing"}).status == 404
    with psycopg.connect(world.owner_url) as owner:
        owner.execute("DELETE FROM sluice.audit_event WHERE stream = 'connectors' AND sequence > 1")
    reply = call(world, "audit_verify").body
    assert not reply["ok"]
    [broken] = [stream for stream in reply["streams"] if stream["broken"]]
    assert broken == {
        "stream": "connectors", "events": 1, "head": 2, "complete": True,
        "broken": [{"sequence": 2, "last": None, "fault": "cut_off", "detail": "Nothing is left of it."}],
    }  # fmt: skip
    assert call(world, "audit_verify", query={"stream": "workflows"}).body["ok"]
    assert json.dumps(call(world, "audit_verify", query={"stream": "connectors"}).body["streams"]) == (
        json.dumps([broken])
    )
