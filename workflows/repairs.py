"""What a run that takes up dead letters does not do again."""

import re
from collections.abc import Iterator

from workflows.expressions import template_expressions
from workflows.model import Step, Workflow
from workflows.references import chunk_expressions, expressions, record_references
from workflows.sql import SqlEngine


def unneeded_steps(workflow: Workflow, replaced: str, engine: SqlEngine) -> list[str]:
    """Keys of the steps before `replaced` that no step after it needs, directly or through others.

    The records of `replaced` are given. Earlier writes are never needed: they were done.
    """
    keys = [step.key for step in workflow.steps]
    position = keys.index(replaced)
    earlier = {step.key: step for step in workflow.steps[:position]}
    writes = {key for key, step in earlier.items() if step.writes}
    waiting = list(workflow.steps[position + 1 :])
    needed: set[str] = set()
    while waiting:
        found = _needs(waiting.pop(), keys, engine) & earlier.keys() - writes - needed
        needed |= found
        waiting += [earlier[key] for key in found]
    return [key for key in earlier if key not in needed]


def _needs(step: Step, keys: list[str], engine: SqlEngine) -> set[str]:
    """Steps whose records it reads, or that its expressions name."""
    texts = list(_texts(step))
    named = {key for key in keys if any(re.search(rf"\b{key}\b", text) for text in texts)}
    return named | record_references(step, engine)


def _texts(step: Step) -> Iterator[str]:
    yield from (text for _, text in expressions(step))
    for rule in step.govern.rules if step.govern else ():
        yield rule.when
        yield from template_expressions(rule.because)
    if step.dispatch:
        yield from (text for _, text in chunk_expressions(step.dispatch))
        for inner in step.dispatch.steps:
            yield from _texts(inner)
