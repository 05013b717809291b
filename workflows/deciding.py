"""Whether somebody may decide a request for approval now, and if not, why: one function for every path."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from workflows.states import ApprovalState


class Standing(StrEnum):
    """How a person stands to a request."""

    MAY_DECIDE = "may_decide"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    OWN_REQUEST = "own_request"
    NOT_ASKED = "not_asked"
    ALREADY_SAID = "already_said"
    """They have decided; others have to as well."""


WORDS: Mapping[Standing, str] = MappingProxyType(
    {
        Standing.MAY_DECIDE: "You may decide.",
        Standing.APPROVED: "This was approved already; nothing more can be decided here.",
        Standing.REJECTED: "This was rejected already; nothing more can be decided here.",
        Standing.EXPIRED: "The time to decide is over. Whoever runs the workflow can retry the run, which "
        "asks again.",
        Standing.CANCELLED: "This request means nothing any more: its run has ended, or the records have "
        "changed and were asked about again.",
        Standing.OWN_REQUEST: "You have requested this run yourself, or handed the request on, so that "
        "somebody else has to decide.",
        Standing.NOT_ASKED: "You are not among those who were asked to decide this.",
        Standing.ALREADY_SAID: "You have decided; others have to as well.",
    }
)

_ENDED: Mapping[ApprovalState, Standing] = MappingProxyType(
    {
        ApprovalState.APPROVED: Standing.APPROVED,
        ApprovalState.REJECTED: Standing.REJECTED,
        ApprovalState.EXPIRED: Standing.EXPIRED,
        ApprovalState.CANCELLED: Standing.CANCELLED,
    }
)


@dataclass(frozen=True)
class Question:
    """What of a request decides who may answer it. `approvers` are names of groups, or `person:` and an id;
    `said` are the ids of those who have decided."""

    state: ApprovalState
    approvers: Collection[str]
    excluded: Collection[str]
    said: Collection[str]
    due_at: datetime | None


def asked_by(question: Question, person_id: str, groups: Collection[str]) -> list[str]:
    """The names by which somebody is asked."""
    own = f"person:{person_id}"
    return [name for name in question.approvers if name in groups or name == own]


def standing_of(question: Question, person_id: str, groups: Collection[str], now: datetime) -> Standing:
    """How somebody stands to a request now."""
    if question.state is not ApprovalState.REQUESTED:
        return _ENDED[question.state]
    if question.due_at is not None and now >= question.due_at:
        return Standing.EXPIRED
    if person_id in question.excluded:
        return Standing.OWN_REQUEST
    if not asked_by(question, person_id, groups):
        return Standing.NOT_ASKED
    return Standing.ALREADY_SAID if person_id in question.said else Standing.MAY_DECIDE
