"""What pages say about a request for approval, in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from commands.approvals import ApprovalFile
from console.figures import count, number
from store.approvals import ApprovalRow
from workflows.deciding import WORDS, Standing
from workflows.states import TERMINAL_RUN_STATES, ApprovalState


@dataclass(frozen=True)
class Chip:
    """A state as people see it: a word, a picture by its name, and a tone."""

    word: str
    icon: str
    tone: str


CHIPS: Mapping[ApprovalState, Chip] = MappingProxyType(
    {
        ApprovalState.REQUESTED: Chip("Waiting", "clock", "waiting"),
        ApprovalState.APPROVED: Chip("Approved", "tick", "good"),
        ApprovalState.REJECTED: Chip("Rejected", "cross", "bad"),
        ApprovalState.EXPIRED: Chip("Expired", "hourglass", "quiet"),
        ApprovalState.CANCELLED: Chip("Cancelled", "dash", "quiet"),
    }
)

_HEADINGS: Mapping[Standing, tuple[str, str]] = MappingProxyType(
    {
        Standing.APPROVED: ("This was approved", "good"),
        Standing.REJECTED: ("This was rejected", "bad"),
        Standing.EXPIRED: ("The time to decide is over", "quiet"),
        Standing.CANCELLED: ("This request means nothing any more", "quiet"),
        Standing.OWN_REQUEST: ("You cannot decide your own request", "warning"),
        Standing.NOT_ASKED: ("You are not asked to decide this", "warning"),
        Standing.ALREADY_SAID: ("You have decided", "good"),
    }
)


@dataclass(frozen=True)
class Notice:
    """What stands above everything else: how the viewer stands to the request."""

    heading: str
    text: str
    tone: str


def standing_of(file: ApprovalFile) -> Standing:
    """How the viewer stands to the request; nobody may decide what belongs to a run that has ended."""
    if file.standing is Standing.MAY_DECIDE and file.run.state in TERMINAL_RUN_STATES:
        return Standing.CANCELLED
    return file.standing


def notice(standing: Standing) -> Notice | None:
    """What to say first; nothing to somebody who may decide."""
    if standing not in _HEADINGS:
        return None
    heading, tone = _HEADINGS[standing]
    return Notice(heading, WORDS[standing], tone)


def title(row: ApprovalRow) -> str:
    """The name of what is asked about."""
    return str(row.summary.get("name") or row.summary.get("workflow") or "A workflow")


def writes(row: ApprovalRow) -> Sequence[Mapping[str, Any]]:
    """What would be written, write by write."""
    found: Sequence[Mapping[str, Any]] = row.summary.get("writes", [])
    return found


def volume(row: ApprovalRow) -> str:
    """How much it is, e.g. `1,842 records with an amount of 61,204.50`."""
    records = count(sum(int(write["records"]) for write in writes(row)), "record")
    amount = row.summary.get("amount")
    return records if amount is None else f"{records} with an amount of {number(amount)}"


def destination(write: Mapping[str, Any]) -> str:
    """Where a write goes."""
    if not write.get("connector"):
        return f"the step {write['step']}, one by one"
    return f"{write['connector']} ({write['operation']})" if write.get("operation") else write["connector"]


def destinations(row: ApprovalRow) -> str:
    """Where it all goes."""
    return " and ".join(dict.fromkeys(destination(write) for write in writes(row))) or "nowhere"


def consequences(row: ApprovalRow) -> Iterator[tuple[str, str]]:
    """What follows from each thing that can happen."""
    agreed = "As soon as you agree" if row.quorum == 1 else f"As soon as {row.quorum} people agree"
    yield "Approve", f"{agreed}, {volume(row)} go to {destinations(row)}: exactly these. {_IF_CHANGED}"
    yield (
        "Reject",
        "Nothing is written. The run fails with your reason, and can be retried, which asks again.",
    )
    yield "Nobody decides", _nobody(row)


_IF_CHANGED = "Should they change before they are written, you are asked again."
_TIMEOUTS: Mapping[str, str] = MappingProxyType(
    {
        "reject": "It counts as rejected: nothing is written.",
        "fail": "The run fails: nothing is written. It can be retried, which asks again.",
        "escalate": "It counts as rejected: nothing is written.",
    }
)


def _nobody(row: ApprovalRow) -> str:
    if row.escalations:
        others = ", ".join(row.escalations[0]["to"])
        return f"By the deadline, {others} are asked as well. If they do not decide either: {_end(row)}"
    return _TIMEOUTS[row.on_timeout]


def _end(row: ApprovalRow) -> str:
    text = _TIMEOUTS[row.on_timeout]
    return text[:1].lower() + text[1:]


@dataclass(frozen=True)
class Outcome:
    """How a request ended: what happened, who did it (`None` for nobody), when, and why."""

    what: str
    by: str | None
    at: datetime | None
    why: str


_ENDS: Mapping[str, str] = MappingProxyType(
    {
        "deadline": "Nobody decided in time",
        "run": "Its run ended",
        "change": "The records changed",
    }
)


def outcome(file: ApprovalFile) -> Outcome | None:
    """How it ended; `None` while it is open."""
    row, told = file.approval, file.approval.outcome or {}
    if row.state is ApprovalState.REQUESTED:
        return None
    by = told.get("decided_by")
    what = _ENDS.get(str(told.get("by")), CHIPS[row.state].word)
    why = str(told.get("reason") or told.get("because") or "")
    return Outcome(what, file.names.get(by, by) if by else None, row.ended_at, why)


def asked_names(file: ApprovalFile) -> str:
    """Who is asked: groups, and people by name."""
    return listed([_who(file, name) for name in file.approval.approvers])


def _who(file: ApprovalFile, name: str) -> str:
    person = name.removeprefix("person:")
    return name if person == name else file.names.get(person, person)


def listed(names: Sequence[str], joiner: str = "or") -> str:
    """Names as people list them."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {joiner} {names[-1]}"
