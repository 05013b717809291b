"""PUSH: records into a connected system, each exactly once, in batches."""

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from activities.claiming import Claiming, batch_digest, idempotency_key, source_changed
from activities.dead_letters import Rejected, check_rejects, keep_rejected
from activities.fates import SETTLED_FATES, Fate, Fates
from activities.interruption import check_going
from activities.posting import Batch
from activities.services import ENGINE
from activities.verbs.measuring import measure
from activities.work import Result, Source, Work
from adapters.contract import Adapter, Operation
from kernel.errors import Fault, InDoubt, InvalidData, Settling
from kernel.records import Record, Records
from store.batches import note_batch
from store.executions import note_life
from store.postings import Claim
from store.runs import TaskRow, set_task_progress
from workflows.model import Push
from workflows.rows import digest

DUPLICATE = "Another record of this batch has the same key; add a column to `key` that tells them apart."
NO_KEY = "Every column of `key` is empty, so nothing identifies the record."


def push(work: Work, call: Push) -> Result:
    """Post the records that are not posted yet. `unfinished` when the time of one activity is used up."""
    return _pushing(work, call).run()


def check_posted(work: Work, call: Push, task: TaskRow) -> None:
    """A write that stands goes with its records: raise `TotalsNotProved` when those that are there now are
    not those that it posted. Records that nobody needs any more are not looked at."""
    output = work.context.outputs().get(call.records)
    if task.batch_digest is not None and output is not None and output.records is not None:
        pushing = _pushing(work, call)
        with work.adapter(call) as adapter:
            pushing.take_digests(pushing.columns(_operation(adapter, call)))
        same = batch_digest(pushing.digests) == task.batch_digest
        if not same or len(output.records) != (task.counts or {}).get("records"):
            raise source_changed(work, ())


def _pushing(work: Work, call: Push) -> "_Pushing":
    source = work.source(call.records)
    _check_columns(source.records, call.key, f"the key of {work.step.key!r}")
    pushing = _Pushing(work, call, source)
    pushing.assign_keys()
    return pushing


def _operation(adapter: Adapter, call: Push) -> Operation:
    return adapter.catalogue(adapter.connector.settings)[call.operation]


@dataclass
class _Pushing:
    """One step's records on their way: by idempotency key, those that cannot have one, and fates so far."""

    work: Work
    call: Push
    source: Source
    keyed: dict[str, Record] = field(default_factory=dict)
    unkeyed: list[Rejected] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    fates: Fates = field(default_factory=Fates)

    def run(self) -> Result:
        started = time.monotonic()
        with self.work.adapter(self.call) as adapter:
            operation = _operation(adapter, self.call)
            columns = self.columns(operation)
            self.take_digests(columns)
            self._claim_all()
            for batch in self._batches(adapter, operation, columns):
                if self.fates.sent and time.monotonic() - started > self.work.services.write_seconds:
                    return Result(unfinished=True)
                self.work.check_time()
                settled = batch.post()
                self.fates.merge(settled)
                self._note_progress(alive=settled.sent)
        self._await_open_calls()
        return self._finished()

    def assign_keys(self) -> None:
        """Sort out what has no key of its own."""
        for record in self.source.records.rows:
            key = idempotency_key(self.work, self.call, record)
            if all(record[name] is None for name in self.call.key):
                self.unkeyed.append(Rejected(record, (Fault("no_key", NO_KEY),)))
            elif key in self.keyed:
                self.unkeyed.append(Rejected(record, (Fault("duplicate_key", DUPLICATE),)))
            else:
                self.keyed[key] = record

    def columns(self, operation: Operation) -> tuple[str, ...]:
        """The columns that are sent; raises `InvalidData` when the records lack one."""
        wanted = operation.columns(operation.parameters.model_validate(self.work.parameters(self.call)))
        names = tuple(column.name for column in wanted or self.source.records.columns)
        _check_columns(self.source.records, names, f"{self.call.operation!r} of {self.call.connector!r}")
        return names

    def take_digests(self, columns: Iterable[str]) -> None:
        """Digests of what is sent of each record."""
        self.digests = {key: digest(record, columns) for key, record in self.keyed.items()}

    def _claim(self) -> Claim:
        work, call = self.work, self.call
        return Claim(
            work.run.id,
            work.step.key,
            work.token,
            call.connector,
            work.services.environment,
            call.operation,
        )

    def _claim_all(self) -> None:
        work, sensitive = self.work, self.source.sensitive
        claiming = Claiming(work, self.call, self._claim(), sensitive, self.keyed, self.digests)
        begun = claiming.begun()
        self.fates.merge(claiming.claim_all(begun))
        with work.services.database.transaction(ENGINE) as connection:
            check_going(connection, work)
            note_batch(connection, work.run.id, work.step.key, batch_digest(self.digests), self._counts())

    def _batches(self, adapter: Adapter, operation: Operation, columns: tuple[str, ...]) -> Iterator[Batch]:
        work, call, claim = self.work, self.call, self._claim()
        left = sorted(key for key in self.keyed if key not in self.fates.of)
        for keys in itertools.batched(left, operation.batch_size, strict=False):
            records = {key: self.keyed[key] for key in keys}
            yield Batch(work, call, operation, adapter, claim, records, self.digests, columns)

    def _await_open_calls(self) -> None:
        """Raise `Settling` when the outcome of some calls cannot be known yet; all others are settled."""
        if waits := self.fates.waits:
            raise Settling(
                f"Calls with {len(waits)} records were begun by another execution and may still take effect; "
                f"they are settled when {self.call.connector!r} must have them.",
                retry_after=max(waits.values()),
            )

    def _counts(self) -> dict[str, int]:
        fates = Counter(self.fates.of.values())
        counts = {str(fate): fates[fate] for fate in SETTLED_FATES}
        counts[Fate.REJECTED] += len(self.unkeyed)
        counts[Fate.WAITING] = len(self.keyed) - len(self.fates.of)
        return {"records": len(self.source.records), **counts}

    def _note_progress(self, *, alive: bool) -> None:
        with self.work.services.database.transaction(ENGINE) as connection:
            if alive:  # first the run, then its task, as everywhere: two executions would block each other
                note_life(connection, self.work.run.id, self.work.services.clock())
            set_task_progress(connection, self.work.run.id, self.work.step.key, self._counts())

    def _finished(self) -> Result:
        rejected = [*self._refused(), *self.unkeyed]
        check_rejects(self.work, rejected, self.source.sensitive)
        keep_rejected(self.work, rejected, self.source.records.columns, self.source.sensitive)
        counts = self._counts()
        if held := counts[Fate.HELD]:
            raise InDoubt(
                f"{held} records were sent to {self.call.connector!r} and no usable answer came. They are "
                "held and not sent again: look them up there, resolve their postings, and retry the run."
            )
        return Result(counts=counts, measures=self._measures())

    def _refused(self) -> Iterator[Rejected]:
        for key, fate in self.fates.of.items():
            if fate is Fate.REJECTED:
                reason = self.fates.reasons.get(key, "The system refused the record.")
                yield Rejected(self.keyed[key], (Fault("refused", reason),))

    def _measures(self) -> dict[str, dict[str, Any]]:
        """Each measure of the pushed step, per fate."""
        by_fate: dict[Fate, list[Record]] = {fate: [] for fate in SETTLED_FATES}
        for key, fate in self.fates.of.items():
            by_fate[fate].append(self.keyed[key])
        by_fate[Fate.REJECTED] += [one.record for one in self.unkeyed]
        declared = self.work.workflow.step(self.call.records).measures
        columns = self.source.records.columns
        found = {
            str(fate): measure(self.work, Records(columns, rows), declared) for fate, rows in by_fate.items()
        }
        return {name: {fate: found[fate][name] for fate in found} for name in found[Fate.POSTED]}


def _check_columns(records: Records, wanted: Iterable[str], what: str) -> None:
    given = {column.name for column in records.columns}
    missing = [name for name in wanted if name not in given]
    if missing:
        raise InvalidData(f"The records have no {', '.join(map(repr, missing))}, which {what} needs.")
