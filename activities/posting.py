"""Exactly-once posting of one batch: claim, mark SENT, send, write down what came of it.

SENT is committed before the call leaves. What another execution left SENT or IN_DOUBT is settled as the
operation can: sent again when the system itself ignores the second write (`Idempotency.NATIVE`), looked up
when it can be found (`LOOKUP`), and otherwise left in doubt for a person. A call may still be on its way, so
nothing is looked up or given up before it is as old as the operation says (`settles_seconds`).
A call that wrote nothing gives its records back as INTENDED. Every change is compare-and-set on the claim
token, so two executions of the same step cannot both count a record, and an execution that was overtaken sees
it; one whose run has ended claims nothing more.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from activities.fates import Fate, Fates, settle_known
from activities.interruption import check_going
from activities.services import ENGINE
from activities.work import Work
from adapters.contract import Adapter, Idempotency, Operation, Outgoing, PushResult, PushStatus
from kernel.errors import CallerError, ExternalError, InDoubt, Settling, Transient
from kernel.records import Record
from store import postings
from store.postings import Claim, Outcome, PostingRow
from workflows.model import Push
from workflows.states import PostingState

ROUNDS = 5
UNSETTLED = "An earlier run sent other values under the same key and their outcome is not known."
NO_ANSWER = "The call was begun, and no usable answer to it was written down."
REFUSED_LATER = (
    "An earlier call got no usable answer, and the system refuses the record when it is sent again."
)
NO_RESULT = "The answer did not say, or said twice, what became of this record."
_UNKNOWN = (PostingState.SENT, PostingState.IN_DOUBT)

type Opening = Callable[[Connection], None]


@dataclass
class _Round:
    """How the records stand: to be taken over or ours already, to be looked up, or in doubt for good. `keys`
    are sent now; the `fresh` ones of them were never sent before, or refused."""

    takeable: list[PostingRow] = field(default_factory=list)
    ours: list[PostingRow] = field(default_factory=list)
    doubtful: list[PostingRow] = field(default_factory=list)
    lost: list[PostingRow] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Batch:
    """One batch of an operation, by idempotency key. `columns` are what the operation accepts; the records'
    digests are over those. `opening` claims the records, unless that was done before."""

    work: Work
    push: Push
    operation: Operation
    adapter: Adapter
    claim: Claim
    records: Mapping[str, Record]
    digests: Mapping[str, str]
    columns: tuple[str, ...]
    opening: Opening | None = None

    def post(self) -> Fates:
        """Settle every record of the batch, but for those whose call may still be on its way: they are in
        `waits`.

        Raises `Transient` when the system does not answer, `Settling` when other executions keep taking
        records over, and `Interrupted` when the run is to stop; what has been sent is settled before.
        """
        fates, absent = Fates(), dict[str, PostingRow]()
        for number in range(ROUNDS):
            waiting = [key for key in self.records if key not in fates.of and key not in fates.waits]
            if not waiting:
                return fates
            opening = self.opening if number == 0 else None
            current = self._claim(waiting, fates, absent, opening)
            if current.keys:
                fates.sent = True
                self._confirm(current, self._send(current), fates)
            if current.doubtful:
                absent |= self._look_up(current.doubtful)
        raise Settling("Another run posts the same records at this moment.", retry_after=2)

    def _claim(
        self, keys: Sequence[str], fates: Fates, absent: Mapping[str, PostingRow], opening: Opening | None
    ) -> _Round:
        """Settle what needs no sending, and mark SENT what may be sent. One transaction."""
        with self.work.services.database.transaction(ENGINE, swift=True) as connection:
            check_going(connection, self.work)
            if opening is not None:
                opening(connection)
            found = postings.lock_postings(connection, keys)
            now = self.work.services.clock()  # the locks may have taken their time, and the call begins now
            current = _Round()
            for row in found.values():
                self._sort(row, current, fates, absent, now)
            if any(row.sent_at is not None and row.sent_at > now for row in found.values()):
                postings.begin_no_later(connection, keys, now)
            lost = [Outcome(row.idempotency_key, row.claim, None, NO_ANSWER) for row in current.lost]
            postings.move_postings(connection, [PostingState.SENT], PostingState.IN_DOUBT, lost, now)
            postings.take_over(connection, self.claim, current.takeable, self.digests, now)
            sendable = sorted([*current.ours, *current.takeable], key=lambda row: row.idempotency_key)
            current.keys = [row.idempotency_key for row in sendable]
            before = (PostingState.INTENDED, *_UNKNOWN)
            if sendable:
                postings.move(connection, before, PostingState.SENT, self._outcomes(current.keys), now)
        never_sent = (PostingState.INTENDED, PostingState.REJECTED)
        current.fresh = [row.idempotency_key for row in sendable if row.state in never_sent]
        return current

    def _sort(
        self, row: PostingRow, current: _Round, fates: Fates, absent: Mapping[str, PostingRow], now: datetime
    ) -> None:
        """What to do with a row as it is found under lock."""
        key = row.idempotency_key
        if settle_known(fates, self.claim, row, self.digests[key]):
            return
        if row.state not in _UNKNOWN or absent.get(key) == row:
            mine = row.claim == self.claim.token and row.digest == self.digests[key]
            (current.ours if mine else current.takeable).append(row)
        else:
            self._sort_unknown(row, current, fates, now)

    def _sort_unknown(self, row: PostingRow, current: _Round, fates: Fates, now: datetime) -> None:
        """The same for a row whose call was begun and never answered."""
        key, way = row.idempotency_key, self.operation.idempotency
        left = self._still_settling(row, now)
        if row.digest != self.digests[key] and way is not Idempotency.LOOKUP:
            fates.settle(key, Fate.REJECTED, UNSETTLED)
        elif way is Idempotency.NATIVE:
            current.takeable.append(row)
        elif way is Idempotency.NONE and row.state is PostingState.IN_DOUBT:
            fates.settle(key, Fate.HELD)
        elif left > 0:
            fates.waits[key] = left
        elif way is Idempotency.LOOKUP:
            current.doubtful.append(row)
        else:
            current.lost.append(row)
            fates.settle(key, Fate.HELD)

    def _still_settling(self, row: PostingRow, now: datetime) -> float:
        """For how many seconds more the row's call may take effect."""
        if row.sent_at is None:
            return 0
        whole = self.operation.settles_seconds
        return min(whole, whole - (now - row.sent_at).total_seconds())

    def _look_up(self, rows: Sequence[PostingRow]) -> dict[str, PostingRow]:
        """Confirm what the system has, for whoever sent it; returns the rows that it does not have."""
        asked = [row.idempotency_key for row in rows]
        parameters = self.work.parameters(self.push)
        found = self.adapter.find_posted(self.push.operation, parameters, asked)
        present = [
            Outcome(row.idempotency_key, row.claim, found[row.idempotency_key])
            for row in rows
            if row.idempotency_key in found
        ]
        if present:
            now = self.work.services.clock()
            with self.work.services.database.transaction(ENGINE, swift=True) as connection:
                postings.lock_postings(connection, [outcome.key for outcome in present])
                postings.move_postings(connection, _UNKNOWN, PostingState.CONFIRMED, present, now)
        return {row.idempotency_key: row for row in rows if row.idempotency_key not in found}

    def _send(self, current: _Round) -> Sequence[PushResult]:
        outgoing = [
            Outgoing(key, {name: self.records[key][name] for name in self.columns}) for key in current.keys
        ]
        sensitive = self.work.source(self.push.records).sensitive
        self.work.hearing.hand([self.records[key] for key in current.keys], sensitive)
        try:
            results = self.adapter.push(self.push.operation, self.work.parameters(self.push), outgoing)
            return self.work.hearing.results(results)
        except InDoubt as exc:
            if self.operation.idempotency is Idempotency.NONE:
                return []
            raise self._unanswered(exc) from exc
        except (ExternalError, CallerError):
            self._take_back(current.fresh)
            raise

    def _unanswered(self, exc: InDoubt) -> Transient:
        if self.operation.idempotency is Idempotency.NATIVE:
            said, least = "the same records are sent again", 0.0
        else:
            said, least = "the records are looked up there", self.operation.settles_seconds
        wait = max(least, exc.retry_after or 0) or None
        return Transient(f"{self.push.connector!r} gave no usable answer; {said}.", retry_after=wait)

    def _take_back(self, keys: Sequence[str]) -> None:
        """Nothing of these was ever written: whoever comes next may send other values. What an earlier
        call sent stays SENT, because nobody knows what came of that."""
        now = self.work.services.clock()
        with self.work.services.database.transaction(ENGINE, swift=True) as connection:
            postings.await_postings(connection, keys)
            postings.move(connection, [PostingState.SENT], PostingState.INTENDED, self._outcomes(keys), now)

    def _outcomes(self, keys: Sequence[str], reason: str | None = None) -> list[Outcome]:
        return [Outcome(key, self.claim.token, None, reason) for key in keys]

    def _confirm(self, current: _Round, results: Sequence[PushResult], fates: Fates) -> None:
        """Write down the answers. Keys that moved under our claim are settled; others come again. An answer
        counts even when the run has ended meanwhile and the call was thought to be in doubt."""
        keys, said = current.keys, Counter(result.key for result in results)
        done = {result.key: result for result in results if said[result.key] == 1}
        doubted = {key for key, result in done.items() if self._proves_nothing(result, current)}
        answered = [done[key] for key in keys if key in done and key not in doubted]
        good = [self._outcome(one) for one in answered if one.status is not PushStatus.REJECTED]
        bad = [self._outcome(one) for one in answered if one.status is PushStatus.REJECTED]
        silent = self._outcomes([key for key in keys if key not in done], NO_RESULT)
        silent += self._outcomes([key for key in keys if key in doubted], REFUSED_LATER)
        now = self.work.services.clock()
        with self.work.services.database.transaction(ENGINE, swift=True) as connection:
            if len(keys) > 1:  # one alone needs no order
                postings.await_postings(connection, keys)
            confirmed = postings.move_postings(connection, _UNKNOWN, PostingState.CONFIRMED, good, now)
            refused = postings.move_postings(connection, _UNKNOWN, PostingState.REJECTED, bad, now)
            held = postings.move_postings(connection, [PostingState.SENT], PostingState.IN_DOUBT, silent, now)
        fates.settle_all(confirmed, Fate.POSTED)
        fates.settle_all(held, Fate.HELD)
        for key in refused:
            fates.settle(key, Fate.REJECTED, done[key].reason)

    def _proves_nothing(self, result: PushResult, current: _Round) -> bool:
        """Whether it is the refusal of a repeated call: the system may have accepted the one before. What was
        looked up before it was sent again is known not to be there."""
        repeated = self.operation.idempotency is Idempotency.NATIVE and result.key not in current.fresh
        return repeated and result.status is PushStatus.REJECTED

    def _outcome(self, result: PushResult) -> Outcome:
        if result.status is PushStatus.REJECTED:
            return Outcome(result.key, self.claim.token, None, result.reason)
        return Outcome(result.key, self.claim.token, result.external_id)
