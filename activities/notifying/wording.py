"""What messages say. Everything comes from the approval, which is redacted where it is written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from activities.notifying.occasion import Occasion
from adapters.comms.letter import Letter, Lines, subject_line
from kernel.links import Links
from store.addressees import is_person
from store.notifications import Notification
from workflows.states import ApprovalState


@dataclass(frozen=True)
class _Wording:
    """How one kind of message begins, with the words of `_words`."""

    subject: str
    headline: str
    intro: str
    action: str = "Open the approval"


_DECIDE = "Review and decide"
_WORDINGS: Mapping[str, _Wording] = {
    "asked": _Wording(
        "Approval needed: {what}", "{what}", "{who} asks for your approval before anything is written.",
        _DECIDE,
    ),
    "reminder": _Wording(
        "Reminder, approval needed: {what}", "Still waiting: {what}", "Nobody has decided yet.", _DECIDE
    ),
    "escalated": _Wording(
        "Escalated to you: {what}", "Escalated: {what}",
        "Nobody decided in time, so that it now also goes to {groups}.", _DECIDE,
    ),
    "reassigned": _Wording(
        "Passed on to you: {what}", "Passed on: {what}", "Someone else was asked, and it is now up to you.",
        _DECIDE,
    ),
    "outcome": _Wording("{state}: {what}", "{state}: {what}", "{sentence}"),
    "voided": _Wording(
        "Void, the records have changed: {what}", "Void: {what}",
        "The records are no longer those that the approval was about. What was decided counts no more, and "
        "nothing is written because of it; if approval is still needed, it is asked for anew.",
    ),
    "comment": _Wording("Comment: {what}", "Comment on {what}", "{author} has written a comment."),
}  # fmt: skip
_PLAIN = _Wording("Approval: {what}", "{what}", "There is news about this approval.")

_STATES: Mapping[ApprovalState, tuple[str, str]] = {
    ApprovalState.REQUESTED: ("Waiting", "Nobody has decided yet."),
    ApprovalState.APPROVED: ("Approved", "It is approved. The run goes on and writes what was approved."),
    ApprovalState.REJECTED: ("Rejected", "It is rejected. Nothing is written."),
    ApprovalState.EXPIRED: ("Expired", "Nobody decided in time. Nothing is written."),
    ApprovalState.CANCELLED: ("Withdrawn", "Nobody needs to decide any more: its run has ended or changed."),
}
_TIMEOUTS: Mapping[str, str] = {
    "reject": "It counts as rejected.",
    "fail": "The run fails.",
    "escalate": "Others are asked.",
}
_MOST_FACTS = 8
_WORDS: Mapping[bool | None, str] = {None: "none", True: "yes", False: "no"}
_KINDS = ("added", "removed", "altered")


def letter_for(
    about: Notification, occasion: Occasion, links: Links, environment: str, zone: ZoneInfo
) -> Letter:
    """What to say to the notification's addressee. `environment` is named where it is not production."""
    wording = _WORDINGS.get(occasion.kind, _PLAIN)
    words = _words(occasion)
    where = "" if environment == "production" else f"[{environment}] "
    return Letter(
        id=about.id,
        subject=subject_line(where + wording.subject.format(**words) + _ending(occasion, zone)),
        headline=wording.headline.format(**words),
        intro=wording.intro.format(**words),
        link=links.approval(about.approval_id, about.id),
        action=wording.action,
        reason=occasion.approval.because,
        details=tuple(_details(occasion, zone)),
        sections=tuple(_sections(occasion)),
        note=_note(occasion, environment),
    )


def _words(occasion: Occasion) -> dict[str, str]:
    summary, row = occasion.approval.summary, occasion.approval
    state, sentence = _STATES[row.state]
    return {
        "what": str(summary.get("name") or summary.get("workflow") or "a workflow"),
        "who": _requester(occasion) or "A workflow",
        "groups": _listed(occasion.audience.get("groups", ())) or "you",
        "author": occasion.name(occasion.author) if occasion.author else "Someone",
        "state": state,
        "sentence": sentence,
    }


def _requester(occasion: Occasion) -> str:
    requester = str(occasion.approval.summary.get("requested_by") or "")
    return occasion.name(requester) if is_person(requester) else requester


def _ending(occasion: Occasion, zone: ZoneInfo) -> str:
    """Amount and deadline, for the end of a subject."""
    amount, row = _amount(occasion.approval.summary), occasion.approval
    due = f", decide by {_moment(row.due_at, zone)}" if occasion.asks and row.due_at else ""
    return (f", {amount}" if amount else "") + due


def _details(occasion: Occasion, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    summary = occasion.approval.summary
    if amount := _amount(summary):
        yield "Amount", amount
    for write in _mappings(summary.get("writes")):
        yield f"Writes to {write.get('connector') or 'a system'}", _write(write)
    yield "Exceptions", _exceptions(summary.get("rejected"))
    if requester := _requester(occasion):
        yield "Requested by", requester
    yield "Workflow", _workflow(summary)
    yield from (_asked(occasion, zone) if occasion.asks else _decided(occasion))


def _sections(occasion: Occasion) -> Iterator[tuple[str, Lines]]:
    row = occasion.approval
    if occasion.asks and (changes := tuple(_changes(row.changes or {}))):
        yield "What has changed since it was last asked", changes
    if facts := tuple(_scalars(row.facts, _MOST_FACTS)):
        yield "What the rule saw", facts


def _asked(occasion: Occasion, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    row = occasion.approval
    if row.due_at:
        yield "Decide by", _moment(row.due_at, zone)
        yield (
            "If nobody decides",
            "Others are asked." if row.escalations else _TIMEOUTS.get(row.on_timeout, "-"),
        )
    groups = _listed([name for name in row.approvers if not name.startswith("person:")])
    given = sum(decided.decision == "approve" for decided in occasion.decisions)
    done = f", {given} so far" if given else ""
    yield (
        "Needs",
        f"{row.quorum} {'person' if row.quorum == 1 else 'people'}"
        + (f" of {groups}{done}" if groups else done),
    )


def _decided(occasion: Occasion) -> Iterator[tuple[str, str]]:
    for decided in occasion.decisions:
        verb = {"approve": "Approved by", "reject": "Rejected by"}.get(decided.decision, "Decided by")
        yield verb, occasion.name(decided.actor) + (f": {decided.reason}" if decided.reason else "")


def _write(write: Mapping[str, Any]) -> str:
    measures = write.get("measures")
    totals = (
        [f"{name} {_number(value)}" for name, value in measures.items()]
        if isinstance(measures, Mapping)
        else []
    )
    count = f"{_number(write.get('records', 0))} records"
    operation = write.get("operation")
    return ", ".join([count, *totals]) + (f" ({operation})" if operation else "")


def _exceptions(rejected: Any) -> str:
    return f"{_number(rejected)} records were set aside" if rejected else "None"


def _workflow(summary: Mapping[str, Any]) -> str:
    version = summary.get("version")
    return f"{summary.get('workflow') or '-'}" + (f", version {version}" if version else "")


def _changes(changes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What differs from the request before, write by write: totals and how many records, never records."""
    for write in _mappings(changes.get("writes")):
        step, measures = str(write.get("step") or "write"), write.get("measures")
        totals = {"records": write.get("records"), **(measures if isinstance(measures, Mapping) else {})}
        for name, pair in totals.items():
            if isinstance(pair, Mapping) and pair.get("before") != pair.get("after"):
                before, after = (_number(pair.get(one)) for one in ("before", "after"))
                yield f"{step}, {name}", f"{before} → {after}"
        if counts := [f"{write[kind].get('count', 0)} {kind}" for kind in _KINDS if write.get(kind)]:
            yield f"{step}, records", ", ".join(counts)


def _scalars(values: Mapping[str, Any], most: int) -> Iterator[tuple[str, str]]:
    shown = [
        (name, one) for name, one in values.items() if one is not None and not isinstance(one, dict | list)
    ]
    yield from ((_label(name), _number(one)) for name, one in shown[:most])


def _label(name: str) -> str:
    text = str(name).replace("_", " ")
    return text[:1].upper() + text[1:]


def _amount(summary: Mapping[str, Any]) -> str:
    amount = summary.get("amount")
    return "" if amount is None else _number(amount)


def _number(value: Any) -> str:
    """The value with thousands set apart when it is a number, else as it is."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return str(value)
    return f"{number:,f}" if number.is_finite() and abs(number.adjusted()) < 40 else str(value)


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    """Day, time and zone, e.g. `Mon 23 Nov 2026, 20:00 UTC`."""
    local = moment.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M %Z}"


def _listed(names: Any) -> str:
    return ", ".join(str(name) for name in names)


def _mappings(values: Any) -> list[Mapping[str, Any]]:
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []


def _note(occasion: Occasion, environment: str) -> str:
    asked = "Opening the link decides nothing: you sign in, look, and decide there. " if occasion.asks else ""
    return f"{asked}Sent by Sluice ({environment})."
