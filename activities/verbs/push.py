"""PUSH: records into a connected system, each exactly once, in batches."""

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from activities.dead_letters import Rejected, check_rejects, keep_rejected
from activities.posting import SETTLED_FATES, Batch, Fate, Fates, idempotency_key
from activities.services import ENGINE
from activities.verbs.measuring import measure
from activities.work import Result, Source, Work
from adapters.contract import Adapter, Operation
from kernel.errors import Fault, InDoubt, InvalidData
from kernel.records import Record, Records
from store.executions import note_life
from store.postings import Claim
from store.runs import set_task_progress
from workflows.model import Push

DUPLICATE = "Another record of this batch has the same key; add a column to `key` that tells them apart."
NO_KEY = "Every column of `key` is empty, so nothing identifies the record."


def push(work: Work, call: Push) -> Result:
    """Post the records that are not posted yet. `unfinished` when the time of one activity is used up."""
    source = work.source(call.records)
    _check_columns(source.records, call.key, f"the key of {work.step.key!r}")
    return _Pushing(work, call, source).run()


@dataclass
class _Pushing:
    """One step's records on their way: by idempotency key, those that cannot have one, and fates so far."""

    work: Work
    call: Push
    source: Source
    keyed: dict[str, Record] = field(default_factory=dict)
    unkeyed: list[Rejected] = field(default_factory=list)
    fates: Fates = field(default_factory=Fates)

    def run(self) -> Result:
        self._assign_keys()
        started = time.monotonic()
        with self.work.adapter(self.call) as adapter:
            operation = adapter.catalogue(adapter.connector.settings)[self.call.operation]
            for batch in self._batches(adapter, operation):
                if self.fates.sent and time.monotonic() - started > self.work.services.write_seconds:
                    return Result(unfinished=True)
                self.work.check_time()
                settled = batch.post()
                self.fates.merge(settled)
                self._note_progress(alive=settled.sent)
        return self._finished()

    def _assign_keys(self) -> None:
        for record in self.source.records.rows:
            key = idempotency_key(self.work, self.call, record)
            if all(record[name] is None for name in self.call.key):
                self.unkeyed.append(Rejected(record, (Fault("no_key", NO_KEY),)))
            elif key in self.keyed:
                self.unkeyed.append(Rejected(record, (Fault("duplicate_key", DUPLICATE),)))
            else:
                self.keyed[key] = record

    def _batches(self, adapter: Adapter, operation: Operation) -> Iterator[Batch]:
        work, call = self.work, self.call
        claim = Claim(
            work.run.id,
            work.step.key,
            work.token,
            call.connector,
            work.services.environment,
            call.operation,
        )
        columns = operation.columns(operation.parameters.model_validate(work.parameters(call)))
        names = tuple(column.name for column in columns or self.source.records.columns)
        _check_columns(self.source.records, names, f"{call.operation!r} of {call.connector!r}")
        for keys in itertools.batched(sorted(self.keyed), operation.batch_size, strict=False):
            records = {key: self.keyed[key] for key in keys}
            yield Batch(work, call, operation, adapter, claim, records, names)

    def _counts(self) -> dict[str, int]:
        fates = Counter(self.fates.of.values())
        counts = {str(fate): fates[fate] for fate in SETTLED_FATES}
        counts[Fate.REJECTED] += len(self.unkeyed)
        counts[Fate.WAITING] = len(self.keyed) - len(self.fates.of)
        return {"records": len(self.source.records), **counts}

    def _note_progress(self, *, alive: bool) -> None:
        with self.work.services.database.transaction(ENGINE) as connection:
            set_task_progress(connection, self.work.run.id, self.work.step.key, self._counts())
            if alive:
                note_life(connection, self.work.run.id, self.work.services.clock())

    def _finished(self) -> Result:
        rejected = [*self._refused(), *self.unkeyed]
        check_rejects(self.work, rejected, self.source.sensitive)
        keep_rejected(self.work, rejected, self.source.sensitive)
        counts = self._counts()
        if held := counts[Fate.HELD]:
            raise InDoubt(
                f"{held} records were sent to {self.call.connector!r} and no usable answer came. They are "
                "held and not sent again; look them up in the system."
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
