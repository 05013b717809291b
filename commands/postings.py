"""Resolve postings that only a person can settle."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from commands.deployment import Deployment
from commands.permissions import permit
from kernel.errors import Conflict, InvalidRequest
from kernel.people import Person
from store import audit, posting_list
from store.posting_list import PostingDetail
from workflows.states import PostingState

STREAM = "postings"


class Finding(StrEnum):
    """What a person has found in the system."""

    CONFIRMED = "confirmed"
    """The record is there."""
    REJECTED = "rejected"
    """The record is not there: a retry of its run may send it again."""


_STATES = {Finding.CONFIRMED: PostingState.CONFIRMED, Finding.REJECTED: PostingState.REJECTED}


@dataclass(frozen=True)
class Resolve:
    """What someone has found out about a posting, and how."""

    posting_id: UUID
    outcome: Finding
    external_id: str | None
    reason: str
    person: Person

    @property
    def actor(self) -> str:
        """Whom the audit trail names."""
        return self.person.id


def resolve_posting(deployment: Deployment, asked: Resolve) -> PostingDetail:
    """Settle a posting in doubt. To say the same again changes nothing.

    Raises `NotFound`, and `Conflict` when it is not in doubt.
    """
    permit(asked.person, "resolve_posting")
    if asked.outcome is Finding.REJECTED and asked.external_id is not None:
        raise InvalidRequest("A record that is not in the system has no `external_id`; leave it out.")
    state, now = _STATES[asked.outcome], deployment.clock()
    with deployment.database.transaction(asked.actor) as connection:
        row = posting_list.get_posting(connection, asked.posting_id, lock=True)
        if (row.state, row.external_id, row.reason) == (state, asked.external_id, asked.reason):
            return row
        found = posting_list.resolve(connection, row.id, state, asked.external_id, asked.reason, now)
        if not found:
            raise Conflict(
                f"The posting {row.id} is {row.state}; only one that is IN_DOUBT is resolved by a person."
            )
        details = {
            "outcome": asked.outcome,
            "external_id": asked.external_id,
            "reason": asked.reason,
            "run": str(row.run_id),
            "step": row.step_key,
        }
        audit.record(
            connection, stream=STREAM, actor=asked.actor, action="posting.resolved", subject=str(row.id),
            details={name: value for name, value in details.items() if value is not None}, now=now,
        )  # fmt: skip
        return posting_list.get_posting(connection, row.id)
