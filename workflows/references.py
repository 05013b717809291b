"""Which earlier steps a step reads, and for what."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workflows.expressions import template_expressions
from workflows.model import Dispatch, Step
from workflows.sql import SqlEngine

RUN_NAMES = frozenset({"inputs", "run", "steps", "environment"})
"""Names that expressions may always read."""
CHUNK = "chunk"
"""In a dispatch: the table of the chunk's one record, and its values in expressions."""
RESERVED_KEYS = RUN_NAMES | {CHUNK, "end"}
"""Names that no step may have: an expression or a gate's `otherwise` would mean two things."""
DISPATCH_COUNTS = frozenset({"records", "succeeded", "failed", "skipped"})
"""What every dispatch measures: its chunks, and how many of them ended how."""


def record_references(step: Step, engine: SqlEngine) -> frozenset[str]:
    """Keys of the steps whose records this step needs."""
    if step.transform:
        return engine.analyse(step.transform.sql).tables
    if step.govern:
        return engine.analyse(step.govern.facts).tables
    if step.dispatch:
        return frozenset({step.dispatch.source} if step.dispatch.source else ())
    return frozenset({step.push.records}) if step.push else frozenset()


def expressions(step: Step) -> Iterator[tuple[str, str]]:
    """The CEL expressions of a step with the part they stand in: those over what the step itself sees.

    Without a govern step's rules, which see facts too, and without what each chunk of a dispatch evaluates.
    """
    if step.logic_gate:
        yield "logic_gate.when", step.logic_gate.when
    if step.call:
        for text in template_expressions(step.call.with_):
            part = next(verb for verb in ("fetch", "lookup", "push") if getattr(step, verb))
            yield f"{part}.with", text
    if step.dispatch and step.dispatch.generator:
        for text in template_expressions(step.dispatch.generator.with_):
            yield "dispatch.over.fetch.with", text
    if step.run:
        yield from _input_expressions("run", step.run.inputs)


def chunk_expressions(dispatch: Dispatch) -> Iterator[tuple[str, str]]:
    """The same for what each chunk of a dispatch gives to the workflow that it runs."""
    return _input_expressions("dispatch", dispatch.inputs)


def _input_expressions(part: str, inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in inputs.items():
        for text in template_expressions(value):
            yield f"{part}.inputs.{name}", text


def bypassed_reads(steps: Sequence[Step], engine: SqlEngine) -> Iterator[tuple[int, str, str]]:
    """Steps that need what a logic gate may have skipped: index of the step, the skipped key, the gate's key.

    Only records and reconciled measures: an expression can ask `has(steps.costs.records)` first.
    """
    keys = [step.key for step in steps]
    gates = [(at, step) for at, step in enumerate(steps) if step.logic_gate]
    reads = [_reads(step, engine) for step in steps] if gates else []
    for position, gate in gates:
        assert gate.logic_gate is not None
        target = gate.logic_gate.otherwise
        if target not in keys[position + 1 :]:
            continue
        after = keys.index(target, position + 1)
        skipped = set(keys[position + 1 : after])
        for index in range(after, len(keys)):
            for key in sorted(reads[index] & skipped):
                yield index, key, gate.key


def _reads(step: Step, engine: SqlEngine) -> frozenset[str]:
    reconciled = frozenset(name.partition(".")[0] for name in step.reconcile.values())
    return record_references(step, engine) | reconciled
