"""What a message is about, as it stands at this moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from kernel.people import Addressee
from store.addressees import Decided, commenter, decisions_on, known_people
from store.approvals import ApprovalRow, get_approval
from store.notifications import Notification
from workflows.states import ApprovalState

ASKING = frozenset({"asked", "reminder", "escalated", "reassigned"})
"""Kinds that ask someone to decide."""


@dataclass(frozen=True)
class Occasion:
    """An approval, what has been decided on it, the names of those concerned, who wrote the comment."""

    kind: str
    audience: Mapping[str, Any]
    approval: ApprovalRow
    decisions: Sequence[Decided]
    people: Mapping[str, Addressee]
    author: str | None

    def name(self, actor: str) -> str:
        """How people call them."""
        known = self.people.get(actor)
        return known.name if known and known.name else actor.rpartition(":")[2]

    @property
    def asks(self) -> bool:
        """Whether it asks someone to decide."""
        return self.kind in ASKING

    @property
    def pointless(self) -> str:
        """Why there is nothing left to say; empty when there is."""
        if not self.asks:
            return ""
        if self.approval.state is not ApprovalState.REQUESTED:
            return "The approval has ended meanwhile."
        asked = {
            *self.audience.get("groups", ()),
            *(f"person:{one}" for one in self.audience.get("people", ())),
        }
        return "" if asked & set(self.approval.approvers) else "Others are asked now."


def read_occasion(connection: Connection, about: Notification) -> Occasion:
    """The occasion of a notification or announcement. Raises `NotFound` for an approval that is gone."""
    row = get_approval(connection, about.approval_id)
    decisions = decisions_on(connection, about.approval_id)
    author = commenter(connection, about.approval_id, about.level + 1) if about.kind == "comment" else None
    requester = str(row.summary.get("requested_by") or "")
    named = {decided.actor for decided in decisions} | {requester, author or ""}
    people = known_people(connection, named)
    return Occasion(about.kind, about.audience, row, decisions, people, author)
