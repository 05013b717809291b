"""Measures of what a step yields, checked against the steps they must agree with."""

from collections.abc import Mapping
from typing import Any

from activities.work import Result, Work
from kernel.errors import Fault, TotalsNotProved
from kernel.records import Records
from workflows.context import StepOutput


def measure(work: Work, records: Records, declared: Mapping[str, str]) -> dict[str, Any]:
    """The declared measures of these records, and how many they are."""
    return {"records": len(records), **work.services.engine.measure(declared, records)}


def measured(
    work: Work, records: Records, sensitive: frozenset[str], rejected: Records | None = None
) -> Result:
    """The step's result with its measures over accepted and rejected records.

    Raises `TotalsNotProved` when a measure differs from the one it is declared to reconcile with.
    """
    accepted = measure(work, records, work.step.measures)
    refused = dict.fromkeys(accepted, 0)
    if rejected is not None and rejected.rows:
        refused = measure(work, rejected, work.step.measures)
    measures = {
        name: {"total": accepted[name] + refused[name], "rejected": refused[name]} for name in accepted
    }
    _reconcile(work, measures)
    aside = len(rejected) if rejected is not None else 0
    counts = {"records": len(records) + aside, "rejected": aside}
    return Result(StepOutput(accepted, records, sensitive), counts, measures)


def _reconcile(work: Work, measures: Mapping[str, Mapping[str, Any]]) -> None:
    faults = []
    for name, target in work.step.reconcile.items():
        step, _, measure_name = target.partition(".")
        if _is_whole(work, step):
            continue
        expected = work.output(step).measures[measure_name]
        found = measures[name]["total"]
        if found != expected:
            said = (
                f"{name} is {found} here, but {target} is {expected}: records were lost or added on the way."
            )
            faults.append(Fault("not_reconciled", said, hint="Check joins and filters of the SELECT."))
    if faults:
        raise TotalsNotProved(f"The totals of {work.step.key!r} do not reconcile.", faults=faults)


def _is_whole(work: Work, step: str) -> bool:
    """Whether the step has all records, and this one only those that a repair takes up again."""
    if work.replaced is None:
        return False
    keys = [one.key for one in work.workflow.steps]
    return keys.index(step) < keys.index(work.replaced)
