"""What the writes behind a question will send: what people are shown, and the digest that they approve."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from activities.work import Source, Work
from kernel.records import Record, Records
from workflows.guards import guarded_by
from workflows.model import Step
from workflows.rows import digest, plain
from workflows.version import canonical_json


@dataclass(frozen=True)
class BoundWrite:
    """A write or a dispatch with the records it will send, by the step that made them. `connector` and
    `operation` are empty for a dispatch."""

    step: Step
    made_by: str
    source: Source
    measures: Mapping[str, Any]
    parameters: Mapping[str, Any]
    connector: str = ""
    operation: str = ""
    key: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what is written where, and each record, in no order: a SELECT may have none."""
        columns = [column.name for column in self.source.records.columns]
        records = sorted(digest(record, columns) for record in self.source.records.rows)
        where = [self.step.key, self.connector, self.operation, list(self.key), dict(self.parameters)]
        return _sha256(canonical_json([where, sorted(columns), records]))

    def summary(self) -> dict[str, Any]:
        """What people see of it: where it goes, how many records, and what they measure."""
        measures = {name: str(plain(value)) for name, value in self.measures.items() if name != "records"}
        return {
            "step": self.step.key,
            "name": self.step.name,
            "connector": self.connector,
            "operation": self.operation,
            "source": self.made_by,
            "records": len(self.source.records),
            "measures": measures,
            "key": list(self.key),
            "digest": self.digest,
        }


def level_of(work: Work) -> Sequence[Step]:
    """The steps among which the work's step stands: the workflow's own, or those of a dispatch."""
    if work.chunk is None:
        return work.workflow.steps
    dispatched = work.workflow.step(work.chunk.step_key).dispatch
    assert dispatched is not None
    return dispatched.steps


def bound_writes(work: Work, guard: Step) -> list[BoundWrite]:
    """What the writes after `guard` will send. One whose records a gate has bypassed will not be made."""
    there = work.context.outputs()
    found = []
    for step in guarded_by(level_of(work), guard.key):
        key = _records_of(step)
        if key is not None and key in there and there[key].records is not None:
            found.append(_bound(work, step, key))
    return found


def total_digest(writes: Iterable[BoundWrite]) -> str:
    """The digest of all of them together."""
    return _sha256(canonical_json({write.step.key: write.digest for write in writes}))


def _records_of(step: Step) -> str | None:
    if step.push:
        return step.push.records
    return step.dispatch.source if step.dispatch else None


def _bound(work: Work, step: Step, key: str) -> BoundWrite:
    source, measures = work.source(key), work.context.outputs()[key].measures
    if step.push is None:
        assert step.dispatch is not None
        return BoundWrite(step, key, source, measures, {}, key=tuple(step.dispatch.key))
    call = step.push
    parameters = {name: plain(value) for name, value in work.parameters(call).items()}
    return BoundWrite(
        step, key, source, measures, parameters, call.connector, call.operation, tuple(call.key)
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Changed:
    """How the records of a write differ from those that were asked about before."""

    added: Sequence[Record]
    removed: Sequence[Record]
    altered: Sequence[tuple[Record, Record]]


def changed(before: Records, after: Records, key: Sequence[str]) -> Changed:
    """Compare by key values; records without their key, or several of one key, count as added and removed."""
    old, new = _by_key(before, key), _by_key(after, key)
    altered = []
    added: list[Record] = []
    removed: list[Record] = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name, []), new.get(name, [])
        if len(was) == len(now) == 1:
            altered += [(was[0], now[0])] if _plain(was[0]) != _plain(now[0]) else []
            continue
        added += _without(now, was)
        removed += _without(was, now)
    return Changed(added, removed, altered)


def _without(some: Sequence[Record], others: Sequence[Record]) -> list[Record]:
    """Those of `some` that `others` lacks; of equal ones, as many as it lacks."""
    left = [_plain(one) for one in others]
    lacking = []
    for one in some:
        if _plain(one) in left:
            left.remove(_plain(one))
        else:
            lacking.append(one)
    return lacking


def _by_key(records: Records, key: Sequence[str]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records.rows:
        found.setdefault(canonical_json([plain(record.get(name)) for name in key]), []).append(record)
    return found


def _plain(record: Record) -> dict[str, Any]:
    return {name: plain(value) for name, value in record.items()}
