"""Workflows that run others: the references, what they are given, and how deep they go.

A workflow never runs itself, however many others lie between, and of whatever versions. What others publish
later can only make a chain longer through `version: latest`; the run then ends at the same limit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kernel.errors import Fault, SluiceError
from workflows.catalogue import Catalogue, VersionInfo
from workflows.document import Pointer, nearest
from workflows.expressions import fill, template_expressions
from workflows.inputs import INPUT_HINTS, is_of_type
from workflows.model import YIELDING, Child, Dispatch, Input, NestedRun, Workflow
from workflows.samples import SOME_NUMBER, SomeNumber
from workflows.scope import Scope

MAX_LEVELS = 8
"""How many workflows a chain may have in all, the outermost included."""


class _Refused(Exception):
    """A chain of workflows that must not be: its last one was there before, or it is one too many."""

    def __init__(self, chain: tuple[str, ...]) -> None:
        super().__init__(" -> ".join(chain))
        self.last, self.is_cycle = chain[-1], chain[-1] in chain[:-1]


@dataclass
class _Lineage:
    """Longest chains of workflows, by version, as far as they are known."""

    catalogue: Catalogue
    known: dict[tuple[str, int], tuple[tuple[str, ...], frozenset[str]]] = field(default_factory=dict)

    def below(self, key: str, number: int | None, above: tuple[str, ...]) -> tuple[str, ...]:
        """The longest chain from this workflow down; raises `_Refused` when it is none."""
        return self._follow(key, number, above)[0]

    def _follow(
        self, key: str, number: int | None, above: tuple[str, ...]
    ) -> tuple[tuple[str, ...], frozenset[str]]:
        """That chain, and every workflow that lies below."""
        if key in above or len(above) >= MAX_LEVELS:
            raise _Refused((*above, key))
        version = self.catalogue.workflow(key, number)
        if version is None:
            return (key,), frozenset({key})
        known = self.known.get((key, version.number))
        if known is None or known[1] & set(above) or len(known[0]) + len(above) > MAX_LEVELS:
            known = self._longest(key, version, (*above, key))
            self.known[key, version.number] = known
        return known

    def _longest(
        self, key: str, version: VersionInfo, above: tuple[str, ...]
    ) -> tuple[tuple[str, ...], frozenset[str]]:
        found = [
            self._follow(child.workflow, _number(child, version.pinned), above)
            for child in version.workflow.children()
        ]
        longest = max((chain for chain, _ in found), key=len, default=())
        return (key, *longest), frozenset({key}).union(*(below for _, below in found))


def _number(child: Child, pinned: Mapping[str, int]) -> int | None:
    return pinned.get(child.step) if child.version == "pinned" else None


def lineage_faults(workflow: Workflow, places: Mapping[str, Pointer], scope: Scope) -> Iterator[Fault]:
    """References by which the workflow would run itself, or that make too many levels. `places` has the place
    of each step by key."""
    lineage = _Lineage(scope.catalogue)
    for child in workflow.children():
        try:
            lineage.below(child.workflow, None, (workflow.workflow,))
        except _Refused as refused:
            kind = "dispatch" if isinstance(child.part, Dispatch) else "run"
            yield _chain_fault(refused, (*places[child.step], kind, "workflow"), scope)


def _chain_fault(refused: _Refused, path: Pointer, scope: Scope) -> Fault:
    code = "workflow_cycle" if refused.is_cycle else "too_many_levels"
    if refused.is_cycle:
        said, hint = f"{refused.last!r} would run itself: {refused}.", "Take one of these references out."
    else:
        said = f"These are more than {MAX_LEVELS} levels of workflows: {refused}."
        hint = "Put the steps of some of them into one workflow."
    return scope.fault(path, code, said, hint)


def reference_faults(scope: Scope, part: Dispatch | NestedRun, path: Pointer) -> Iterator[Fault]:
    """The faults of a reference to another workflow: whether it is there and takes these inputs. Their
    expressions are those of `scope`: in a dispatch, of its chunks."""
    key = str(part.workflow)
    version = scope.catalogue.workflow(key)
    if version is not None:
        yield from _input_faults(scope, version.workflow, part.inputs, path)
    elif key != scope.workflow.workflow:
        hint = f"{nearest(key, list(scope.catalogue.workflows()))} Publish it before this one."
        yield scope.fault((*path, "workflow"), "unknown_workflow", f"There is no workflow {key!r}.", hint)


def _input_faults(scope: Scope, child: Workflow, given: Mapping[str, Any], path: Pointer) -> Iterator[Fault]:
    for name, value in given.items():
        here = (*path, "inputs", name)
        if name not in child.inputs:
            said, hint = f"{child.workflow!r} has no input {name!r}.", nearest(name, list(child.inputs))
            yield scope.fault(here, "unknown_input", said, hint)
        elif not _may_be(child.inputs[name], value, scope):
            kind = child.inputs[name].type
            said = f"The input {name!r} of {child.workflow!r} takes a value of type {kind}."
            yield scope.fault(here, "invalid_input", said, INPUT_HINTS[kind])
    for name, declared in child.inputs.items():
        if declared.required and given.get(name, declared.default) is None:
            said = f"{child.workflow!r} requires the input {name!r}."
            yield scope.fault((*path, "inputs"), "missing_input", said, f"Add `{name}:` to `inputs`.")


def _may_be(declared: Input, value: Any, scope: Scope) -> bool:
    """Whether a value can be of the input's type. An expression is judged by the type of a sample."""
    if value is None:
        return True  # as if it were not given
    if not any(True for _ in template_expressions(value)):
        return is_of_type(declared, value)
    try:
        sample = fill(value, {**scope.measures, **scope.values()})
    except SluiceError:
        return True  # the expression itself has been reported
    return declared.type in _types_of(sample)


def _types_of(sample: Any) -> set[str]:
    """The types of inputs that a value may be given to. Text may hold a date or a decimal."""
    match sample:
        case bool():
            return {"boolean"}
        case SomeNumber():
            return {"integer", "decimal"}
        case int():
            return {"integer", "decimal"}
        case Decimal():
            return {"decimal"}
        case str():
            return {"text", "date", "decimal"}
        case None:
            return set(INPUT_HINTS)
        case _:
            return set()


def measured_by(child: Workflow) -> dict[str, dict[str, Any]]:
    """What the steps of a nested workflow measure over their records, by step key."""
    return {
        step.key: {"records": 1, **dict.fromkeys(step.measures, SOME_NUMBER)}
        for step in child.steps
        if step.kind in (*YIELDING, "dispatch")
    }


def pinned_versions(workflow: Workflow, catalogue: Catalogue) -> dict[str, VersionInfo]:
    """The active versions of the workflows that steps are pinned to, by step key."""
    found = {
        child.step: catalogue.workflow(child.workflow)
        for child in workflow.children()
        if child.version == "pinned"
    }
    return {step: version for step, version in found.items() if version is not None}
