"""The outbox: everyone is told once, also when things fail, run twice or die; nobody is told what is over."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from activities.notify import ATTEMPTS, pause
from activities.notifying.occasion import read_occasion
from activities.notifying.wording import letter_for
from kernel.errors import InDoubt, InvalidData, RateLimited, SystemUnavailable, Transient, Unavailable
from kernel.ids import new_id
from store import notifications
from store.approval_tables import approval_comment, approval_decision
from store.approvals import change_open, move_approval
from store.notifications import LEASE, Notification
from tests.support.outbox import CARLA, CONRAD, CONTROLLERS, RITA, Outbox, Room, together
from workflows.states import ApprovalState

CANARY = "canary-4711"


def links(outbox: Outbox) -> list[str]:
    return [letter.link for letter, _ in outbox.mail.sent]


def addresses(outbox: Outbox) -> list[str]:
    return sorted(str(address) for _, address in outbox.mail.sent)


def decide(
    outbox: Outbox, approval_id: UUID, actor: str, decision: str = "approve", reason: str = ""
) -> None:
    values = {
        "decision": decision,
        "reason": reason,
        "actor": actor,
        "level": 0,
        "groups": [],
        "source": "api",
    }
    with outbox.services.database.transaction("test") as connection:
        connection.execute(
            approval_decision.insert().values(
                id=new_id(), approval_id=approval_id, decided_at=outbox.clock.now, **values
            )
        )


def end(outbox: Outbox, approval_id: UUID, state: ApprovalState) -> None:
    with outbox.services.database.transaction("test") as connection:
        assert move_approval(connection, approval_id, state, ended_at=outbox.clock.now)


def know(outbox: Outbox, person: str, name: str, email: str) -> None:
    outbox.execute(
        "INSERT INTO sluice.person VALUES (%s, %s, %s, now(), now()) ON CONFLICT (id) DO UPDATE SET"
        " name = excluded.name, email = excluded.email",
        person, name, email,
    )  # fmt: skip


def claim(outbox: Outbox) -> Notification | None:
    with outbox.services.database.transaction("test") as connection:
        return notifications.claim(connection, outbox.clock.now)


def test_everyone_asked_gets_one_message_with_a_link_of_their_own(outbox: Outbox) -> None:
    approval_id = outbox.asked()
    outbox.announce(approval_id)  # said again by an activity that ran twice
    assert outbox.deliver() == {"expanded": 1, "sent": 2}
    assert outbox.deliver() == {}
    assert addresses(outbox) == [CARLA.email, CONRAD.email]
    first, *both = outbox.rows(approval_id)
    assert (first.state, [row.state for row in both]) == ("EXPANDED", ["SENT", "SENT"])
    read = [outbox.links.read_link(link.partition("?t=")[2], approval_id) for link in links(outbox)]
    assert sorted(map(str, read)) == sorted(str(row.id) for row in both)


def test_who_is_in_two_groups_gets_one_message(outbox: Outbox) -> None:
    outbox.people.groups["directors"] = (CARLA,)
    approval_id = outbox.approval(approvers=[CONTROLLERS, "directors"])
    outbox.announce(approval_id, groups=(CONTROLLERS, "directors"))
    assert outbox.deliver()["sent"] == 2


def test_who_may_not_decide_or_has_decided_is_not_asked(outbox: Outbox) -> None:
    approval_id = outbox.asked(excluded=[RITA, CARLA.id], quorum=2)
    decide(outbox, approval_id, CONRAD.id)
    assert outbox.deliver() == {"expanded": 1}
    assert outbox.mail.sent == []


def test_a_room_gets_one_message_and_no_comments(outbox: Outbox) -> None:
    room = Room(personal=False)
    outbox.have(mail=outbox.mail, teams=room)
    approval_id = outbox.asked()
    outbox.announce(approval_id, "comment")
    outbox.deliver()
    assert (len(room.sent), len(outbox.mail.sent)) == (1, 4)
    assert room.sent[0][1] is None


@pytest.mark.parametrize(
    "error", [Transient("x"), SystemUnavailable("x"), InDoubt("x"), RateLimited("x", retry_after=600)]
)
def test_what_fails_is_tried_again_later_under_the_same_identity(outbox: Outbox, error: Exception) -> None:
    outbox.people.groups[CONTROLLERS] = (CARLA,)
    outbox.mail.failures.append(error)
    approval_id = outbox.asked()
    assert outbox.deliver() == {"expanded": 1, "retried": 1}
    assert outbox.deliver() == {}
    row = outbox.rows(approval_id)[1]
    wait = timedelta(seconds=600 if isinstance(error, RateLimited) else 30)
    assert (row.state, row.attempts, row.next_at, row.claimed_at) == (
        "PENDING", 1, outbox.clock.now + wait, None,
    )  # fmt: skip
    outbox.clock.now = row.next_at
    assert outbox.deliver() == {"sent": 1}
    assert outbox.mail.sent[0][0].id == row.id
    assert outbox.rows(approval_id)[1].failure is None


def test_waits_grow_to_an_hour() -> None:
    waits = [pause(attempts, Transient("x")).total_seconds() for attempts in range(1, ATTEMPTS + 1)]
    assert waits == [30, 90, 270, 810, 2430, 3600, 3600, 3600]
    assert pause(1, RateLimited("x", retry_after=7200)) == timedelta(hours=2)
    assert pause(10_000, Transient("x")) == timedelta(hours=1)


def test_after_its_attempts_it_is_given_up_and_can_be_sent_again(outbox: Outbox) -> None:
    outbox.people.groups[CONTROLLERS] = (CARLA,)
    outbox.mail.failures.extend(Transient("The server is busy.") for _ in range(ATTEMPTS))
    approval_id = outbox.asked()
    for _ in range(ATTEMPTS):
        outbox.deliver()
        outbox.clock.on(hours=1)
    row = outbox.rows(approval_id)[1]
    assert (row.state, row.attempts) == ("FAILED", ATTEMPTS)
    assert row.failure == {"code": "transient", "message": "The server is busy."}
    assert outbox.deliver() == {}
    with outbox.services.database.transaction("test") as connection:
        assert notifications.send_again(connection, row.id, outbox.clock.now)
        assert not notifications.send_again(connection, row.id, outbox.clock.now)
    assert outbox.deliver() == {"sent": 1}


def test_what_is_refused_is_not_tried_again_and_holds_nothing_up(outbox: Outbox) -> None:
    outbox.mail.failures.append(InvalidData("Refused."))
    approval_id = outbox.asked()
    assert outbox.deliver() == {"expanded": 1, "failed": 1, "sent": 1}
    assert sorted(outbox.states(approval_id)[1:]) == ["FAILED", "SENT"]


def test_a_crash_of_ours_is_a_failure_of_one_message_and_says_no_value(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.mail.failures.append(RuntimeError(CANARY))
    approval_id = outbox.asked()
    assert outbox.deliver() == {"expanded": 1, "retried": 1, "sent": 1}
    assert CANARY not in caplog.text
    assert "RuntimeError" in caplog.text
    assert CANARY not in json.dumps([row.failure for row in outbox.rows(approval_id)])


def test_a_sender_that_died_before_it_sent_leaves_the_message_to_others(outbox: Outbox) -> None:
    outbox.people.groups[CONTROLLERS] = (CARLA,)
    approval_id = outbox.asked()
    assert outbox.deliver(1) == {"expanded": 1}
    assert claim(outbox) is not None
    assert outbox.deliver() == {}
    outbox.clock.on(seconds=LEASE.total_seconds() + 1)
    assert outbox.deliver() == {"sent": 1}
    assert outbox.rows(approval_id)[1].attempts == 2


def test_a_sender_that_died_after_it_sent_sends_twice_and_says_so_the_same_way(outbox: Outbox) -> None:
    outbox.people.groups[CONTROLLERS] = (CARLA,)
    outbox.asked()
    outbox.deliver(1)
    lost = claim(outbox)
    assert lost is not None
    outbox.services.postbox.channels["mail"].send(_letter(outbox, lost), CARLA.email)  # and no commit
    outbox.clock.on(seconds=LEASE.total_seconds() + 1)
    assert outbox.deliver() == {"sent": 1}
    assert [letter.id for letter, _ in outbox.mail.sent] == [lost.id, lost.id]
    with outbox.services.database.transaction("test") as connection:  # the first comes to life again
        assert not notifications.mark_sent(connection, lost, outbox.clock.now)
        assert not notifications.give_up(connection, lost, {})


def _letter(outbox: Outbox, claimed: Notification) -> Any:
    with outbox.services.database.reading() as connection:
        occasion = read_occasion(connection, claimed)
    return letter_for(claimed, occasion, outbox.links, "sandbox", outbox.services.postbox.zone)


def test_senders_that_die_every_time_do_not_go_on_for_ever(outbox: Outbox) -> None:
    outbox.people.groups[CONTROLLERS] = (CARLA,)
    approval_id = outbox.asked()
    outbox.deliver(1)
    for _ in range(ATTEMPTS):
        assert claim(outbox) is not None
        outbox.clock.on(hours=1)
    assert outbox.deliver() == {"failed": 1}
    assert outbox.rows(approval_id)[1].failure["code"] == "internal"


def test_who_lost_a_claim_changes_nothing_under_the_hands_of_who_has_it(outbox: Outbox) -> None:
    outbox.people.groups[CONTROLLERS] = (CARLA,)
    approval_id = outbox.asked()
    outbox.deliver(1)
    slow = claim(outbox)
    outbox.clock.on(seconds=LEASE.total_seconds() + 1)
    quick = claim(outbox)
    assert slow is not None
    assert quick is not None
    now = outbox.clock.now
    with outbox.services.database.transaction("test") as connection:
        assert not notifications.postpone(connection, slow, now, {})
        assert not notifications.give_up(connection, slow, {})
        assert not notifications.mark_sent(connection, slow, now)
        assert notifications.mark_sent(connection, quick, now)
    assert outbox.states(approval_id) == ["EXPANDED", "SENT"]


def test_two_senders_at_once_send_everything_once(outbox: Outbox) -> None:
    ids = [outbox.asked() for _ in range(10)]
    fates = together(4, outbox.deliver)
    assert sum(fate.get("sent", 0) for fate in fates) == len(outbox.mail.sent) == 20
    assert sum(fate.get("expanded", 0) for fate in fates) == 10
    assert len(set(links(outbox))) == 20
    assert {state for one in ids for state in outbox.states(one)} == {"EXPANDED", "SENT"}


def test_what_is_over_is_not_asked(outbox: Outbox) -> None:
    approval_id = outbox.asked()
    outbox.deliver(1)
    end(outbox, approval_id, ApprovalState.APPROVED)
    assert outbox.deliver() == {"dropped": 2}
    rows = outbox.rows(approval_id)
    assert [row.state for row in rows] == ["EXPANDED", "DROPPED", "DROPPED"]
    assert rows[1].failure["code"] == "pointless"
    outbox.announce(approval_id, "outcome")
    assert outbox.deliver() == {"expanded": 1, "sent": 2}


def test_who_is_no_longer_asked_gets_no_reminder(outbox: Outbox) -> None:
    approval_id = outbox.approval()
    outbox.announce(approval_id, "reminder")
    with outbox.services.database.transaction("test") as connection:
        assert change_open(connection, approval_id, approvers=["directors"])
    assert outbox.deliver() == {"dropped": 1}


def test_a_group_without_people_is_a_failure_until_it_has_some(outbox: Outbox) -> None:
    outbox.people.groups.clear()
    approval_id = outbox.asked()
    assert outbox.deliver() == {"retried": 1}
    assert "Nobody" in outbox.rows(approval_id)[0].failure["message"]
    outbox.people.groups[CONTROLLERS] = (CARLA,)
    outbox.clock.on(seconds=30)
    assert outbox.deliver() == {"expanded": 1, "sent": 1}


def test_a_directory_that_does_not_answer_is_asked_again(outbox: Outbox) -> None:
    outbox.people.failures.append(Unavailable("Graph does not answer.", retry_after=45))
    outbox.asked()
    assert outbox.deliver() == {"retried": 1}
    outbox.clock.on(seconds=45)
    assert outbox.deliver() == {"expanded": 1, "sent": 2}


def test_people_are_found_by_their_id_and_machines_are_not_written_to(outbox: Outbox) -> None:
    know(outbox, RITA, "Rita Requester", "rita@example.com")
    approval_id = outbox.approval()
    end(outbox, approval_id, ApprovalState.REJECTED)
    decide(outbox, approval_id, CARLA.id, "reject", "Wrong week")
    outbox.announce(approval_id, "outcome", groups=(), people=[RITA, "key:1", "sluice"])
    assert outbox.deliver() == {"expanded": 1, "sent": 1}
    letter, address = outbox.mail.sent[0]
    assert address == "rita@example.com"
    assert letter.subject == "[sandbox] Rejected: Weekly labour, 51,234.50"
    assert ("Rejected by", "carla: Wrong week") in letter.details


def test_somebody_without_an_address_is_a_visible_failure_and_then_reached(outbox: Outbox) -> None:
    approval_id = outbox.approval(approvers=["person:local:nora"])
    outbox.announce(approval_id, "reassigned", groups=(), people=["local:nora"])
    outbox.mail.failures.append(InvalidData("No address."))
    outbox.deliver()
    row = outbox.rows(approval_id)[1]
    assert (row.state, row.addressee, row.address) == ("FAILED", "local:nora", None)
    know(outbox, "local:nora", "Nora", "nora@example.com")
    with outbox.services.database.transaction("test") as connection:
        notifications.send_again(connection, row.id, outbox.clock.now)
    outbox.deliver()
    assert addresses(outbox) == ["nora@example.com"]


def test_a_deployment_without_channels_says_that_nobody_was_told(outbox: Outbox) -> None:
    outbox.have()
    approval_id = outbox.asked()
    assert outbox.deliver() == {"dropped": 1}
    assert outbox.rows(approval_id)[0].failure["code"] == "no_channel"


def test_who_comments_is_not_told_of_it(outbox: Outbox) -> None:
    approval_id = outbox.approval()
    with outbox.services.database.transaction("test") as connection:
        connection.execute(
            approval_comment.insert().values(
                id=new_id(), approval_id=approval_id, actor=CARLA.id, text=CANARY,
                created_at=outbox.clock.now,
            )
        )  # fmt: skip
    outbox.announce(approval_id, "comment")
    outbox.deliver()
    assert addresses(outbox) == [CONRAD.email]
    assert "carla has written a comment." in outbox.mail.sent[0][0].intro
    assert CANARY not in repr(vars(outbox.mail.sent[0][0]))


def test_a_claim_that_ran_out_while_sending_changes_nothing(outbox: Outbox) -> None:
    outbox.people.groups[CONTROLLERS] = (CARLA,)
    approval_id = outbox.asked()
    outbox.deliver(1)

    def slowly() -> None:
        outbox.mail.before = lambda: None
        outbox.clock.on(seconds=LEASE.total_seconds() + 1)
        assert outbox.deliver() == {"sent": 1}

    outbox.mail.before = slowly
    assert outbox.deliver() == {"taken": 1}
    assert outbox.states(approval_id) == ["EXPANDED", "SENT"]
