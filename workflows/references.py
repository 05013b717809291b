"""Which earlier steps a step reads, and for what."""

from collections.abc import Iterator

from workflows.expressions import template_expressions
from workflows.model import Step
from workflows.sql import SqlEngine

RUN_NAMES = frozenset({"inputs", "run", "steps", "environment"})
"""Names that expressions may always read."""


def record_references(step: Step, engine: SqlEngine) -> frozenset[str]:
    """Keys of the steps whose records this step needs."""
    if step.transform:
        return engine.analyse(step.transform.sql).tables
    if step.govern:
        return engine.analyse(step.govern.facts).tables
    return frozenset({step.push.records}) if step.push else frozenset()


def expressions(step: Step) -> Iterator[tuple[str, str]]:
    """The CEL expressions of a step with the part they stand in, without a govern step's rules."""
    if step.logic_gate:
        yield "logic_gate.when", step.logic_gate.when
    if step.call:
        for text in template_expressions(step.call.with_):
            part = next(verb for verb in ("fetch", "lookup", "push") if getattr(step, verb))
            yield f"{part}.with", text
