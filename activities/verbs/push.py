"""PUSH: records into a connected system, each exactly once, in batches."""

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any

from activities.dead_letters import Rejected, check_rejects, keep_rejected
from activities.posting import Batch, Fate, Fates, idempotency_key
from activities.services import ENGINE
from activities.verbs.measuring import measure
from activities.work import Result, Work
from adapters.contract import Adapter, Operation
from kernel.errors import Fault, InDoubt
from kernel.records import Record, Records
from store.postings import Claim
from store.runs import set_task_progress
from workflows.context import StepOutput
from workflows.model import Push

DUPLICATE = "Another record of this batch has the same key; add a column to `key` that tells them apart."


def push(work: Work) -> Result:
    """Post the records that are not posted yet. `unfinished` when the time of one activity is used up."""
    call = work.step.push
    assert call is not None
    source = work.context.output(call.records)
    assert source.records is not None
    keyed, duplicates = _keyed(work, call, source.records.rows)
    fates, sent, started = Fates(), False, time.monotonic()
    with work.adapter(call) as adapter:
        operation = adapter.catalogue(adapter.connector.settings)[call.operation]
        for batch in _batches(work, call, adapter, operation, source.records, keyed):
            if sent and time.monotonic() - started > work.services.write_seconds:
                return Result(unfinished=True)
            settled = batch.post()
            sent = sent or settled.sent
            fates.of |= settled.of
            fates.reasons |= settled.reasons
            _progress(work, len(source.records), fates, len(duplicates))
    return _finished(work, source, keyed, fates, duplicates)


def _keyed(work: Work, call: Push, rows: list[Record]) -> tuple[dict[str, Record], list[Record]]:
    keyed: dict[str, Record] = {}
    duplicates: list[Record] = []
    for record in rows:
        key = idempotency_key(work, call, record)
        if key in keyed:
            duplicates.append(record)
        else:
            keyed[key] = record
    return keyed, duplicates


def _batches(
    work: Work,
    call: Push,
    adapter: Adapter,
    operation: Operation,
    records: Records,
    keyed: Mapping[str, Record],
) -> Iterator[Batch]:
    claim = Claim(
        work.run.id, work.step.key, work.token, call.connector, work.services.environment, call.operation
    )
    wanted = operation.columns(operation.parameters.model_validate(work.parameters(call))) or records.columns
    names = tuple(column.name for column in wanted)
    for keys in itertools.batched(sorted(keyed), operation.batch_size, strict=False):
        yield Batch(work, call, operation, adapter, claim, {key: keyed[key] for key in keys}, names)


def _counts(total: int, fates: Fates, duplicates: int) -> dict[str, int]:
    counts = {str(fate): sum(1 for one in fates.of.values() if one is fate) for fate in Fate}
    counts[Fate.REJECTED] += duplicates
    return {"records": total, **counts}


def _progress(work: Work, total: int, fates: Fates, duplicates: int) -> None:
    with work.services.database.transaction(ENGINE) as connection:
        set_task_progress(connection, work.run.id, work.step.key, _counts(total, fates, duplicates))


def _finished(
    work: Work, source: StepOutput, keyed: Mapping[str, Record], fates: Fates, duplicates: list[Record]
) -> Result:
    call = work.step.push
    assert call is not None
    assert source.records is not None
    rejected = [
        Rejected(keyed[key], (Fault("refused", fates.reasons.get(key, "The system refused the record.")),))
        for key, fate in fates.of.items()
        if fate is Fate.REJECTED
    ]
    rejected += [Rejected(record, (Fault("duplicate_key", DUPLICATE),)) for record in duplicates]
    check_rejects(work, rejected, source.sensitive)
    keep_rejected(work, rejected, source.sensitive)
    counts = _counts(len(source.records), fates, len(duplicates))
    if held := counts[Fate.HELD]:
        raise InDoubt(
            f"{held} records were sent to {call.connector!r} and no usable answer came. They are held and "
            "not sent again; look them up in the system."
        )
    return Result(counts=counts, measures=_measures(work, source, keyed, fates, duplicates))


def _measures(
    work: Work, source: StepOutput, keyed: Mapping[str, Record], fates: Fates, duplicates: list[Record]
) -> dict[str, dict[str, Any]]:
    """Each measure of the pushed step, per fate."""
    call = work.step.push
    assert call is not None
    assert source.records is not None
    declared = work.workflow.step(call.records).measures
    by_fate: dict[Fate, list[Record]] = {fate: [] for fate in Fate}
    for key, fate in fates.of.items():
        by_fate[fate].append(keyed[key])
    by_fate[Fate.REJECTED] += duplicates
    found = {
        str(fate): measure(work, Records(source.records.columns, rows), declared)
        for fate, rows in by_fate.items()
    }
    return {name: {fate: found[fate][name] for fate in found} for name in found[Fate.POSTED]}
