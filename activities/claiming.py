"""A write claims all its records before it sends the first: so the ledger knows what is still to be sent.

A write that was begun before goes on only with the records it began with: of those that it may have sent,
none may be missing, and none that is posted may have other values. A run reads again what it has read before,
and must not post a second batch because its source has changed meanwhile.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from sqlalchemy import Connection

from activities.fates import Fates, settle_known
from activities.interruption import check_going
from activities.sensitivity import visible
from activities.services import ENGINE
from activities.work import Work
from kernel.errors import Fault, TotalsNotProved
from kernel.records import Record
from store import postings
from store.postings import Claim, Intent, PostingRow
from workflows.model import Push
from workflows.rows import canonical
from workflows.states import PostingState

PAGE = 5_000
_RESTORE = (
    "Put the source back as it was and retry the run, or correct the posted records in the system itself."
)
_BEGUN = frozenset({PostingState.SENT, PostingState.IN_DOUBT, PostingState.CONFIRMED})


def idempotency_key(work: Work, push: Push, record: Record) -> str:
    """SHA-256 over connector, environment, operation and the declared key values in canonical form."""
    identity = [push.connector, work.services.environment, push.operation]
    values = [canonical(record[name]) for name in push.key]
    text = json.dumps([*identity, values], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def batch_digest(digests: Mapping[str, str]) -> str:
    """SHA-256 over all idempotency keys with their record digests, in the order of keys."""
    lines = (f"{key} {digests[key]}\n" for key in sorted(digests))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def source_changed(work: Work, faults: Iterable[Fault]) -> TotalsNotProved:
    """The error of a run that would post other records than those it began with."""
    return TotalsNotProved(
        f"The source changed while the run was repeated: {work.step.key!r} has posted records that are not "
        "what it would post now. Nothing more was posted.",
        faults=list(faults),
    )


@dataclass(frozen=True)
class Claiming:
    """The records of one write, by idempotency key, with their digests."""

    work: Work
    push: Push
    claim: Claim
    sensitive: frozenset[str]
    records: Mapping[str, Record]
    digests: Mapping[str, str]

    def begun(self) -> dict[str, PostingRow]:
        """What this step has claimed before. Raises `TotalsNotProved` when it does not fit the records."""
        with self.work.services.database.reading() as connection:
            rows = postings.of_step(connection, self.claim.run_id, self.claim.step_key, self.work.chunk_id)
        sent = [row for row in rows.values() if row.state in _BEGUN]
        gone = sum(1 for row in sent if row.idempotency_key not in self.digests)
        faults = [Fault("source_changed", f"{gone} of them are not there any more.", hint=_RESTORE)]
        posted = [row for row in sent if row.state is PostingState.CONFIRMED]
        other = sum(1 for row in posted if self._differs(row))
        faults += [Fault("source_changed", f"{other} of them have other values now.", hint=_RESTORE)]
        if gone or other:
            raise source_changed(self.work, itertools.compress(faults, (gone, other)))
        return rows

    def _differs(self, row: PostingRow) -> bool:
        return self.digests.get(row.idempotency_key, row.digest) != row.digest

    def claim_all(self, begun: Set[str]) -> Fates:
        """Claim what is not claimed yet, a page in a transaction; returns what is settled already.

        Raises `Interrupted` between pages when the run is to stop.
        """
        fates = Fates()
        new = sorted(self.records.keys() - begun)
        for page in itertools.batched(new, PAGE, strict=False):
            self.work.check_time()
            with self.work.services.database.transaction(ENGINE, swift=True) as connection:
                check_going(connection, self.work)
                claimed = self.claim_page(connection, page)
                left = [key for key in page if key not in claimed]
                others = postings.of_keys(connection, left) if left else {}
            for row in others.values():
                if row.state is PostingState.CONFIRMED:
                    settle_known(fates, self.claim, row, self.digests[row.idempotency_key])
        return fates

    def claim_page(self, connection: Connection, keys: Iterable[str]) -> set[str]:
        """Claim these in the caller's transaction; returns which are ours now."""
        intents = [self._intent(key) for key in keys]
        return postings.claim_intended(connection, self.claim, intents, self.work.services.clock())

    def claim_blindly(self, connection: Connection, keys: Iterable[str]) -> None:
        """Claim these in the caller's transaction, which locks them and sees what has become of them."""
        intents = [self._intent(key) for key in keys]
        postings.intend(connection, self.claim, intents, self.work.services.clock())

    def _intent(self, key: str) -> Intent:
        identity = {name: self.records[key][name] for name in self.push.key}
        shown = json.dumps(visible(identity, self.sensitive), ensure_ascii=False)
        return Intent(key, self.digests[key], shown)
