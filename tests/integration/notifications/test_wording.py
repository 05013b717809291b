"""What messages say: why, how much, until when, and nothing twice."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from activities.notifying.postbox import Postbox
from adapters.comms.letter import Letter
from tests.support.outbox import CARLA, CONTROLLERS, SUMMARY, Outbox
from workflows.states import ApprovalState


def said(outbox: Outbox, kind: str = "asked", level: int = 0, **values: Any) -> Letter:
    """What one controller is told."""
    outbox.people.groups[CONTROLLERS] = (CARLA,)
    approval_id = outbox.approval(**values)
    outbox.announce(approval_id, kind, level=level)
    outbox.deliver()
    return outbox.mail.sent[-1][0]


def test_a_request_says_what_why_how_much_and_until_when(outbox: Outbox) -> None:
    letter = said(outbox)
    assert letter.subject == (
        "[sandbox] Approval needed: Weekly labour, 51,234.50, decide by Mon 23 Nov 2026, 20:00 UTC"
    )
    assert letter.reason == "Week over 50,000"
    assert dict(letter.details) == {
        "Amount": "51,234.50",
        "Writes to erp": "1,204 records, amount 51,234.50 (journal_lines)",
        "Exceptions": "3 records were set aside",
        "Requested by": "Rita",
        "Workflow": "labour, version 4",
        "Decide by": "Mon 23 Nov 2026, 20:00 UTC",
        "If nobody decides": "It counts as rejected.",
        "Needs": "1 person of finance-controllers",
    }
    assert letter.sections == (("What the rule saw", (("Total", "51,234.50"),)),)


def test_what_changed_since_it_was_last_asked_is_told_without_records(outbox: Outbox) -> None:
    changed = {"count": 3, "first": [{"worker": "canary-4711"}]}
    write = {
        "step": "post", "records": {"before": 10, "after": 12}, "added": changed, "removed": {"count": 0},
        "measures": {"amount": {"before": "10.50", "after": "1212.50"}, "hours": {"before": 1, "after": 1}},
    }  # fmt: skip
    letter = said(outbox, changes={"approval": "x", "was": "APPROVED", "writes": [write]})
    title, lines = letter.sections[0]
    assert title == "What has changed since it was last asked"
    assert lines == (
        ("post, records", "10 → 12"),
        ("post, amount", "10.50 → 1,212.50"),
        ("post, records", "3 added, 0 removed"),
    )


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("asked", "Approval needed: "),
        ("reminder", "Reminder, approval needed: "),
        ("escalated", "Escalated to you: "),
        ("reassigned", "Passed on to you: "),
        ("outcome", "Waiting: "),
        ("voided", "Void, the records have changed: "),
        ("comment", "Comment: "),
        ("unheard of", "Approval: "),
    ],
)
def test_every_kind_has_its_subject(outbox: Outbox, kind: str, begins: str) -> None:
    assert said(outbox, kind).subject.startswith(f"[sandbox] {begins}Weekly labour, 51,234.50")


@pytest.mark.parametrize("state", [one for one in ApprovalState if one is not ApprovalState.REQUESTED])
def test_every_outcome_is_said(outbox: Outbox, state: ApprovalState) -> None:
    approval_id = outbox.approval()
    outbox.execute("UPDATE sluice.approval SET state = %s WHERE id = %s", state.value, approval_id)
    outbox.announce(approval_id, "outcome")
    outbox.deliver()
    letter = outbox.mail.sent[-1][0]
    assert "{" not in letter.subject + letter.intro
    assert "decide by" not in letter.subject
    assert letter.action == "Open the approval"


def test_what_is_missing_is_left_out(outbox: Outbox) -> None:
    letter = said(outbox, summary={}, facts={}, due_at=None, approvers=[CONTROLLERS], on_timeout="fail")
    assert letter.subject == "[sandbox] Approval needed: a workflow"
    assert dict(letter.details) == {
        "Exceptions": "None", "Workflow": "-", "Needs": "1 person of finance-controllers",
    }  # fmt: skip


@pytest.mark.parametrize(
    "summary",
    [
        {"amount": "EUR 5"}, {"amount": "NaN"}, {"amount": "1E+999999"}, {"writes": "x"}, {"writes": [1, {}]},
        {"writes": [{"measures": 1}]}, {"rejected": "many"}, {"name": "{0.__class__} %s {what}"},
    ],
)  # fmt: skip
def test_odd_summaries_are_told_as_they_are(outbox: Outbox, summary: dict[str, Any]) -> None:
    letter = said(outbox, summary=summary)
    for value in summary.values():
        if isinstance(value, str) and value != "x":
            assert value in f"{letter.headline} {letter.subject} {letter.details}"


def test_who_asks_is_called_by_name(outbox: Outbox) -> None:
    summary = {**SUMMARY, "requested_by": "local:walter"}
    assert "walter asks for your approval" in said(outbox, summary=summary).intro
    outbox.execute("INSERT INTO sluice.person VALUES ('local:walter', 'Walter W', '', now(), now())")
    assert "Walter W asks for your approval" in said(outbox, summary=summary).intro


def test_times_are_in_the_zone_of_the_deployment_and_production_is_not_named(outbox: Outbox) -> None:
    postbox = Postbox({"mail": outbox.mail}, outbox.links, ZoneInfo("Australia/Sydney"))
    outbox.services = replace(outbox.services, postbox=postbox, environment="production")
    letter = said(outbox, due_at=outbox.clock.now + timedelta(hours=1))
    assert letter.subject.endswith("decide by Sun 22 Nov 2026, 08:00 AEDT")
    assert letter.subject.startswith("Approval needed")
