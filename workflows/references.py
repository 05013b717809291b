"""Which earlier steps a step reads, and for what."""

from collections.abc import Iterator

from kernel.errors import SluiceError
from workflows.expressions import template_expressions, variables
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


def measure_references(step: Step) -> frozenset[str]:
    """Names that this step's expressions read, apart from those of the run itself."""
    names: set[str] = set()
    for _, text in expressions(step):
        try:
            names |= variables(text)
        except SluiceError:  # reported by validation, with its place
            continue
    return frozenset(names) - RUN_NAMES
