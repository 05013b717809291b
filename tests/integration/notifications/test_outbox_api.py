"""The outbox over the API, and the timer that empties it."""

from dataclasses import replace
from functools import partial

import pytest

from activities.notify import deliver
from adapters.registry import operations_of
from commands.deployment import Deployment
from commands.notifying import resend_notification, send_due
from kernel.errors import Forbidden, InvalidData
from kernel.people import Person, Role
from tests.integration.api.test_api import call
from tests.support.outbox import Outbox
from tests.support.world import ADA, Counted, World

MISSING = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
def world(outbox: Outbox) -> World:
    """Commands over the outbox."""
    kept = outbox.services
    deployment = Deployment(
        kept.database, kept.blobs, kept.envelope, kept.engine, operations_of, outbox.clock, "sandbox", 1,
        Counted(), deliver=partial(deliver, kept),
    )  # fmt: skip
    return World(deployment, kept, "", "")


def refused(outbox: Outbox) -> str:
    """An approval with one message that was given up and one that was sent."""
    outbox.mail.failures.append(InvalidData("Refused (550 5.1.1)."))
    approval_id = outbox.asked()
    outbox.deliver()
    return str(approval_id)


def test_messages_are_listed_by_state_and_approval_without_addresses(outbox: Outbox, world: World) -> None:
    first, second = refused(outbox), str(outbox.asked())
    items = call(world, "notifications_list").body["items"]
    assert [one["approval_id"] for one in items] == [second, first, first, first]
    assert "@" not in str(items)
    for query, number in (
        ({"approval": first}, 3),
        ({"state": "failed"}, 1),
        ({"state": "SENT", "approval": first}, 1),
        ({"state": "SENT", "approval": second}, 0),
    ):
        assert len(call(world, "notifications_list", query=query).body["items"]) == number, query
    [failed] = call(world, "notifications_list", query={"state": "FAILED"}).body["items"]
    assert failed["failure"] == {"code": "invalid_data", "message": "Refused (550 5.1.1)."}
    page = call(world, "notifications_list", query={"limit": "3"}).body
    rest = call(world, "notifications_list", query={"limit": "3", "cursor": page["next"]}).body
    assert (len(page["items"]), len(rest["items"]), rest["next"]) == (3, 1, None)
    assert call(world, "notifications_list", query={"state": "x"}).status == 400


def test_what_was_given_up_is_sent_again_and_audited(outbox: Outbox, world: World) -> None:
    refused(outbox)
    [failed] = call(world, "notifications_list", query={"state": "FAILED"}).body["items"]
    reply = call(world, "notifications_send", id=failed["id"])
    assert (reply.status, reply.body["state"], reply.body["attempts"]) == (202, "PENDING", 0)
    again = call(world, "notifications_send", id=failed["id"])
    assert (again.status, again.body["code"]) == (409, "conflict")
    assert outbox.deliver() == {"sent": 1}
    sent = call(world, "notifications_send", id=failed["id"])
    assert "is SENT" in sent.body["detail"]
    assert call(world, "notifications_send", id=MISSING).status == 404
    with outbox.services.database.reading() as connection:
        found = connection.exec_driver_sql(
            "SELECT actor, subject FROM sluice.audit_event WHERE action = 'notification.resent'"
        ).all()
    assert [tuple(row) for row in found] == [(ADA.id, failed["id"])]


def test_who_is_no_operator_sends_nothing_again(outbox: Outbox, world: World) -> None:
    refused(outbox)
    viewer = Person("local:vera", "Vera", roles=frozenset({Role.VIEWER, Role.APPROVER}))
    [failed] = call(world, "notifications_list", query={"state": "FAILED"}).body["items"]
    with pytest.raises(Forbidden):
        resend_notification(world.deployment, failed["id"], viewer)


def test_the_timer_sends_what_is_due_and_counts_it(outbox: Outbox, world: World) -> None:
    counted = Counted()
    deployment = replace(world.deployment, metrics=counted)
    send_due(deployment)
    assert counted.counts == {}
    outbox.asked()
    send_due(deployment)
    assert counted.counts == {("notifications", "expanded"): 1, ("notifications", "sent"): 2}


def test_the_timer_asks_nobody_when_nothing_is_due(outbox: Outbox, world: World) -> None:
    def unwanted() -> dict[str, int]:
        raise AssertionError("nothing is due")

    outbox.asked()
    outbox.deliver()
    send_due(replace(world.deployment, deliver=unwanted))
