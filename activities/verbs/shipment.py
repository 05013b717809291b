"""The records that one run or chunk sends with one write, and what becomes of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from activities.claiming import batch_digest, idempotency_key
from activities.dead_letters import Rejected, check_rejects, keep_rejected
from activities.fates import SETTLED_FATES, Fate, Fates
from activities.verbs.measuring import measure
from activities.work import Result, Source, Work
from adapters.contract import Operation
from kernel.errors import Fault, InDoubt, InvalidData, Settling
from kernel.records import Record, Records
from workflows.model import Push
from workflows.rows import digest, plain

DUPLICATE = "Another record of this batch has the same key; add a column to `key` that tells them apart."
NO_KEY = "Every column of `key` is empty, so nothing identifies the record."


@dataclass
class Shipment:
    """By idempotency key: the records with the digests of what is sent of them, and their fates so far; and
    those that cannot have a key. `columns` are what the operation accepts; `begun` are the keys that an
    earlier execution of the step has claimed."""

    work: Work
    call: Push
    source: Source
    parameters: Mapping[str, Any]
    columns: tuple[str, ...]
    keyed: dict[str, Record] = field(default_factory=dict)
    unkeyed: list[Rejected] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    fates: Fates = field(default_factory=Fates)
    begun: frozenset[str] = frozenset()

    @classmethod
    def of(cls, work: Work, call: Push, operation: Operation) -> "Shipment":
        """The records of the step that `call` names. Raises `InvalidData` when they lack a column."""
        source = work.source(call.records)
        _check_columns(source.records, call.key, f"the key of {work.step.key!r}")
        parameters = work.parameters(call)
        wanted = operation.columns(operation.parameters.model_validate(parameters))
        columns = tuple(column.name for column in wanted or source.records.columns)
        _check_columns(source.records, columns, f"{call.operation!r} of {call.connector!r}")
        shipment = cls(
            work, call, source, {name: plain(value) for name, value in parameters.items()}, columns
        )
        shipment._assign_keys()
        shipment.digests = {key: digest(record, columns) for key, record in shipment.keyed.items()}
        return shipment

    @property
    def digest(self) -> str:
        """The digest of the whole batch."""
        return batch_digest(self.digests)

    def counts(self) -> dict[str, int]:
        """How the records stand."""
        fates = Counter(self.fates.of.values())
        counts = {str(fate): fates[fate] for fate in SETTLED_FATES}
        counts[Fate.REJECTED] += len(self.unkeyed)
        counts[Fate.WAITING] = len(self.keyed) - len(self.fates.of)
        return {"records": len(self.source.records), **counts}

    def finished(self) -> Result:
        """What has come of it. Raises `Settling` while the outcome of some calls cannot be known,
        `InvalidData` for rejects that are not tolerated, and `InDoubt` when records are held."""
        self._await_open_calls()
        rejected = [*self._refused(), *self.unkeyed]
        check_rejects(self.work, rejected, self.source.sensitive)
        keep_rejected(self.work, rejected, self.source.records.columns, self.source.sensitive)
        counts = self.counts()
        if held := counts[Fate.HELD]:
            raise InDoubt(
                f"{held} records were sent to {self.call.connector!r} and no usable answer came. They are "
                "held and not sent again: look them up there, resolve their postings, and retry the run."
            )
        return Result(counts=counts, measures=self._measures(), batch_digest=self.digest)

    def left_over(self) -> tuple[dict[str, int], dict[str, Any]]:
        """Counts and measures when nobody works on the records any more: what is not settled is held."""
        for key in self.keyed.keys() - self.fates.of.keys():
            self.fates.settle(key, Fate.HELD)
        return self.counts(), self._measures()

    def _measures(self) -> dict[str, dict[str, Any]]:
        """Each measure of the pushed step, per fate."""
        by_fate: dict[Fate, list[Record]] = {fate: [] for fate in SETTLED_FATES}
        for key, fate in self.fates.of.items():
            by_fate[fate].append(self.keyed[key])
        by_fate[Fate.REJECTED] += [one.record for one in self.unkeyed]
        declared = self.work.workflow.step(self.call.records).measures if self._measured else {}
        columns = self.source.records.columns
        found = {
            str(fate): measure(self.work, Records(columns, rows), declared) for fate, rows in by_fate.items()
        }
        return {name: {fate: found[fate][name] for fate in found} for name in found[Fate.POSTED]}

    @property
    def _measured(self) -> bool:
        return any(step.key == self.call.records for step in self.work.workflow.all_steps())

    def _assign_keys(self) -> None:
        """Sort out what has no key of its own."""
        for record in self.source.records.rows:
            key = idempotency_key(self.work, self.call, record)
            if all(record[name] is None for name in self.call.key):
                self.unkeyed.append(Rejected(record, (Fault("no_key", NO_KEY),)))
            elif key in self.keyed:
                self.unkeyed.append(Rejected(record, (Fault("duplicate_key", DUPLICATE),)))
            else:
                self.keyed[key] = record

    def _await_open_calls(self) -> None:
        if waits := self.fates.waits:
            raise Settling(
                f"Calls with {len(waits)} records were begun by another execution and may still take effect; "
                f"they are settled when {self.call.connector!r} must have them.",
                retry_after=max(waits.values()),
            )

    def _refused(self) -> Iterator[Rejected]:
        for key, fate in self.fates.of.items():
            if fate is Fate.REJECTED:
                reason = self.fates.reasons.get(key, "The system refused the record.")
                yield Rejected(self.keyed[key], (Fault("refused", reason),))


def _check_columns(records: Records, wanted: Iterable[str], what: str) -> None:
    given = {column.name for column in records.columns}
    missing = [name for name in wanted if name not in given]
    if missing:
        raise InvalidData(f"The records have no {', '.join(map(repr, missing))}, which {what} needs.")
