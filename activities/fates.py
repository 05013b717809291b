"""What became of records on their way into a system, as control totals count it."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from store.postings import Claim, PostingRow
from workflows.states import PostingState

CONFLICT = "The system was sent other values under the same key before; they were not overwritten."


class Fate(StrEnum):
    """What became of a record, as control totals count it."""

    POSTED = "posted"
    ALREADY_POSTED = "already_posted"
    REJECTED = "rejected"
    HELD = "held"
    WAITING = "waiting"
    """Not settled yet; when the run ends so, it is held."""


def _chosen[V](values: dict[str, V], keys: Container[str]) -> dict[str, V]:
    return {key: value for key, value in values.items() if key in keys}


SETTLED_FATES = (Fate.POSTED, Fate.ALREADY_POSTED, Fate.REJECTED, Fate.HELD)
"""What control totals are made of."""


@dataclass
class Fates:
    """The fate of each key so far, the reasons of rejects, and whether anything had to be sent.

    `waits` are keys that cannot be settled yet, with the seconds until they can.
    """

    of: dict[str, Fate] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)
    sent: bool = False

    def settle(self, key: str, fate: Fate, reason: str | None = None) -> None:
        """Write down what became of one record."""
        self.of[key] = fate
        if reason:
            self.reasons[key] = reason

    def settle_all(self, keys: Iterable[str], fate: Fate) -> None:
        """The same fate for many records."""
        for key in keys:
            self.settle(key, fate)

    def of_keys(self, keys: Container[str]) -> "Fates":
        """What became of some of the records."""
        of, reasons = _chosen(self.of, keys), _chosen(self.reasons, keys)
        return Fates(of, reasons, _chosen(self.waits, keys), self.sent)

    def merge(self, other: "Fates") -> None:
        """Take over what became of further records."""
        self.of |= other.of
        self.reasons |= other.reasons
        self.waits |= other.waits
        self.sent = self.sent or other.sent


def settle_known(fates: Fates, claim: Claim, row: PostingRow, digest: str) -> bool:
    """Settle a record whose row says all there is to say: it is confirmed, or this very step was refused it
    with the same values. Returns whether it was settled."""
    key, same = row.idempotency_key, row.digest == digest
    ours = claim.owns(row)
    if row.state is PostingState.CONFIRMED and same:
        fates.settle(key, Fate.POSTED if ours else Fate.ALREADY_POSTED)
    elif row.state is PostingState.CONFIRMED:
        fates.settle(key, Fate.REJECTED, CONFLICT)
    elif row.state is PostingState.REJECTED and same and ours:
        fates.settle(key, Fate.REJECTED, row.reason)
    else:
        return False
    return True
