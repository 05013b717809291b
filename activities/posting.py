"""Exactly-once posting of one batch: claim, mark SENT, send, write down what came of it.

SENT is committed before the call leaves. A record that an earlier execution left SENT is sent again only when
the system itself ignores the second write (`Idempotency.NATIVE`); otherwise it stays in doubt for a person.
A call that wrote nothing gives its records back as INTENDED. Every change is compare-and-set on the claim
token, so two executions of the same step cannot both count a record, and an execution that was overtaken sees
it; one whose run has ended claims nothing more.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from activities.interruption import check_going
from activities.services import ENGINE
from activities.work import Work
from adapters.contract import Adapter, Idempotency, Operation, Outgoing, PushResult, PushStatus
from kernel.errors import CallerError, ExternalError, InDoubt, Transient
from kernel.records import Record
from store import postings
from store.postings import Claim, Outcome, PostingRow
from workflows.model import Push
from workflows.rows import canonical, digest
from workflows.states import PostingState

ROUNDS = 5


class Fate(StrEnum):
    """What became of a record, as control totals count it."""

    POSTED = "posted"
    ALREADY_POSTED = "already_posted"
    REJECTED = "rejected"
    HELD = "held"
    WAITING = "waiting"
    """Not settled yet; when the run ends so, it is held."""


SETTLED_FATES = (Fate.POSTED, Fate.ALREADY_POSTED, Fate.REJECTED, Fate.HELD)
"""What control totals are made of."""


@dataclass
class Fates:
    """The fate of each key so far, the reasons of rejects, and whether anything had to be sent."""

    of: dict[str, Fate] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    sent: bool = False

    def settle(self, key: str, fate: Fate, reason: str | None = None) -> None:
        """Write down what became of one record."""
        self.of[key] = fate
        if reason:
            self.reasons[key] = reason

    def merge(self, other: "Fates") -> None:
        """Take over what became of further records."""
        self.of |= other.of
        self.reasons |= other.reasons
        self.sent = self.sent or other.sent


def idempotency_key(work: Work, push: Push, record: Record) -> str:
    """SHA-256 over connector, environment, operation and the declared key values in canonical form."""
    identity = [push.connector, work.services.environment, push.operation]
    values = [canonical(record[name]) for name in push.key]
    text = json.dumps([*identity, values], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


CONFLICT = "The system was sent other values under the same key before; they were not overwritten."
UNSETTLED = "An earlier run sent other values under the same key and their outcome is not known."


@dataclass(frozen=True)
class Claimed:
    """Keys that are ours to send; the `fresh` ones were never sent, or refused, before."""

    keys: Sequence[str]
    fresh: Sequence[str]


@dataclass(frozen=True)
class Batch:
    """One batch of an operation, by idempotency key. `columns` are what the operation accepts."""

    work: Work
    push: Push
    operation: Operation
    adapter: Adapter
    claim: Claim
    records: Mapping[str, Record]
    columns: tuple[str, ...]

    def post(self) -> Fates:
        """Settle every record of the batch.

        Raises `Transient` when the system does not answer or other executions keep taking records over, and
        `Interrupted` when the run is to stop; what has been sent is settled before.
        """
        fates = Fates()
        for _ in range(ROUNDS):
            waiting = [key for key in self.records if key not in fates.of]
            if not waiting:
                return fates
            claimed = self._claim(waiting, fates)
            if claimed.keys:
                fates.sent = True
                self._confirm(self._send(claimed), fates)
        raise Transient("Another run posts the same records at this moment.", retry_after=2)

    def _claim(self, keys: Sequence[str], fates: Fates) -> Claimed:
        """Settle what needs no sending, and mark the rest SENT. One transaction."""
        digests = {key: digest(self.records[key], self.columns) for key in keys}
        now = self.work.services.clock()
        with self.work.services.database.transaction(ENGINE) as connection:
            check_going(connection, self.work)
            postings.claim_new(connection, self.claim, digests, now)
            found = postings.lock_postings(connection, keys)
            ours = [key for key, row in found.items() if row.claim == self.claim.token]
            abandoned = [row for row in found.values() if self._is_takeable(row, digests, fates)]
            if abandoned:
                ours += postings.take_over(connection, self.claim, abandoned, digests, now)
            sendable = [Outcome(key) for key in sorted(ours) if key not in fates.of]
            before = (PostingState.INTENDED, PostingState.SENT, PostingState.IN_DOUBT)
            postings.move_postings(connection, self.claim.token, before, PostingState.SENT, sendable, now)
        never_sent = (PostingState.INTENDED, PostingState.REJECTED)
        fresh = [one.key for one in sendable if found[one.key].state in never_sent]
        return Claimed([one.key for one in sendable], fresh)

    def _is_takeable(self, row: PostingRow, digests: Mapping[str, str], fates: Fates) -> bool:
        """Whether another execution's row may be sent by us; settles it when it needs no sending."""
        key, same = row.idempotency_key, row.digest == digests[row.idempotency_key]
        if row.state is PostingState.CONFIRMED:
            fate = Fate.POSTED if self._is_ours(row) else Fate.ALREADY_POSTED
            fates.settle(key, fate) if same else fates.settle(key, Fate.REJECTED, CONFLICT)
        elif row.state is PostingState.REJECTED and same and self._is_ours(row):
            fates.settle(key, Fate.REJECTED, row.reason)
        elif row.state in (PostingState.SENT, PostingState.IN_DOUBT):
            if not same:
                fates.settle(key, Fate.REJECTED, UNSETTLED)
            elif self.operation.idempotency is not Idempotency.NATIVE:
                fates.settle(key, Fate.HELD)
        return key not in fates.of and row.claim != self.claim.token

    def _is_ours(self, row: PostingRow) -> bool:
        return (row.run_id, row.step_key) == (self.claim.run_id, self.claim.step_key)

    def _send(self, claimed: Claimed) -> Sequence[PushResult]:
        outgoing = [
            Outgoing(key, {name: self.records[key][name] for name in self.columns}) for key in claimed.keys
        ]
        try:
            return self.adapter.push(self.push.operation, self.work.parameters(self.push), outgoing)
        except InDoubt as exc:
            if self.operation.idempotency is Idempotency.NATIVE:
                raise Transient(
                    f"{self.push.connector!r} gave no usable answer; the same records are sent again.",
                    retry_after=exc.retry_after,
                ) from exc
            return []
        except (ExternalError, CallerError):
            self._take_back(claimed.fresh)
            raise

    def _take_back(self, keys: Sequence[str]) -> None:
        """Nothing of these was ever written: whoever comes next may send other values. What an earlier
        call sent stays SENT, because nobody knows what came of that."""
        outcomes, now = [Outcome(key) for key in keys], self.work.services.clock()
        with self.work.services.database.transaction(ENGINE) as connection:
            postings.lock_postings(connection, keys)
            postings.move_postings(
                connection, self.claim.token, [PostingState.SENT], PostingState.INTENDED, outcomes, now
            )

    def _confirm(self, results: Sequence[PushResult], fates: Fates) -> None:
        """Write down the answers. Keys that moved under our claim are settled; others come again."""
        now = self.work.services.clock()
        done = {result.key: result for result in results}
        good = [Outcome(r.key, r.external_id) for r in results if r.status is not PushStatus.REJECTED]
        bad = [Outcome(r.key, None, r.reason) for r in results if r.status is PushStatus.REJECTED]
        sent = [PostingState.SENT]
        token = self.claim.token
        with self.work.services.database.transaction(ENGINE) as connection:
            postings.lock_postings(connection, list(self.records))
            confirmed = postings.move_postings(connection, token, sent, PostingState.CONFIRMED, good, now)
            refused = postings.move_postings(connection, token, sent, PostingState.REJECTED, bad, now)
            silent = [Outcome(key) for key in self.records if key not in done and key not in fates.of]
            held = postings.move_postings(connection, token, sent, PostingState.IN_DOUBT, silent, now)
        settle_all(fates, confirmed, Fate.POSTED)
        settle_all(fates, held, Fate.HELD)
        for key in refused:
            fates.settle(key, Fate.REJECTED, done[key].reason)


def settle_all(fates: Fates, keys: Iterable[str], fate: Fate) -> None:
    """The same fate for many keys."""
    for key in keys:
        fates.settle(key, fate)
