"""Reads and checks a definition: all faults at once, each with path, line, code and a hint."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from kernel.errors import Fault, InvalidDefinition
from workflows.catalogue import Catalogue
from workflows.document import Document, Pointer, read_document
from workflows.flow import Flow
from workflows.inputs import INPUT_HINTS, is_of_type
from workflows.leaks import secret_literals
from workflows.model import Step, Workflow
from workflows.nesting import lineage_faults, pinned_versions
from workflows.planning import Plan, make_plan
from workflows.references import DISPATCH_COUNTS, RESERVED_KEYS, bypassed_reads
from workflows.scope import Scope
from workflows.shape import Shape, read_shape
from workflows.sql import SqlEngine
from workflows.writing import writer

type Placed = Sequence[tuple[Pointer, Step]]


@dataclass(frozen=True)
class Checked:
    """The outcome: a workflow and its plan when nothing is wrong, and everything worth saying.

    `pinned` has the hashes of the versions that steps are pinned to, by step key; the plan has their numbers.
    """

    workflow: Workflow | None
    plan: Plan | None
    faults: tuple[Fault, ...]
    pinned: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def errors(self) -> tuple[Fault, ...]:
        """Faults that forbid publishing."""
        return tuple(fault for fault in self.faults if fault.severity == "error")

    def require(self) -> tuple[Workflow, Plan]:
        """The workflow and plan; `InvalidDefinition` with all faults when there are errors."""
        if self.errors or self.workflow is None or self.plan is None:
            count = len(self.errors)
            raise InvalidDefinition(
                f"The definition has {count} fault{'s' if count != 1 else ''}.", faults=self.faults
            )
        return self.workflow, self.plan


def validate(text: str, catalogue: Catalogue, engine: SqlEngine) -> Checked:
    """Check a definition in YAML or JSON against its shape, its own references and the catalogue."""
    document = read_document(text)
    faults = list(document.faults)
    workflow = None
    if document.data is not None:
        faults += _leaks(document)
        shape = read_shape(document)
        faults += shape.faults
        if (workflow := shape.workflow) is not None:
            scope = Scope(workflow, shape, document, catalogue, engine, workflow.steps)
            faults += _own_faults(workflow, shape, document)
            faults += _level_faults(shape.placed(workflow.steps), scope)
            faults += lineage_faults(workflow, _places(shape), scope)
            faults += Flow(scope).faults()
    faults.sort(key=lambda fault: (fault.line or 0, fault.path))
    if workflow is None or any(fault.severity == "error" for fault in faults):
        return Checked(workflow, None, tuple(faults))
    pinned = pinned_versions(workflow, catalogue)
    numbers = {step: version.number for step, version in pinned.items()}
    plan = replace(make_plan(workflow, engine), pinned=numbers)
    return Checked(workflow, plan, tuple(faults), {step: one.hash for step, one in pinned.items()})


def _leaks(document: Document) -> Iterator[Fault]:
    for path in secret_literals(document.data):
        yield document.fault(
            path,
            "secret_literal",
            "This looks like a credential.",
            "Keep it in the vault and name it in the connector.",
        )


def _places(shape: Shape) -> dict[str, Pointer]:
    return {step.key: path for path, step in shape.all_placed()}


def _own_faults(workflow: Workflow, shape: Shape, document: Document) -> Iterator[Fault]:
    counts = Counter(step.key for step in workflow.all_steps())
    for path, step in shape.all_placed():
        if counts[step.key] > 1:
            said = f"The step key {step.key!r} is used {counts[step.key]} times."
            yield document.fault((*path, "key"), "duplicate_step", said, "Give each step its own key.")
        if step.key in RESERVED_KEYS or (len(path) > 2 and step.key in DISPATCH_COUNTS):
            said = f"{step.key!r} means something else in expressions and gates."
            yield document.fault((*path, "key"), "reserved_key", said, "Choose another key.")
    for name, given in workflow.inputs.items():
        if given.default is not None and not is_of_type(given, given.default):
            said = f"The default of {name!r} is not a {given.type}."
            hint = INPUT_HINTS[given.type]
            yield document.fault(("inputs", name, "default"), "invalid_default", said, hint)


def _level_faults(placed: Placed, scope: Scope) -> Iterator[Fault]:
    """What concerns the order of the steps of one level, for each level."""
    yield from _bypass_faults(placed, scope)
    yield from _order_warnings(placed, scope)
    for path, step in placed:
        if step.dispatch:
            yield from _level_faults(
                scope.shape.placed(step.dispatch.steps, (*path, "dispatch", "steps")), scope
            )


def _bypass_faults(placed: Placed, scope: Scope) -> Iterator[Fault]:
    for position, key, gate in bypassed_reads([step for _, step in placed], scope.engine):
        said = f"The gate {gate!r} may have skipped {key!r}, which this step reads."
        hint = "Read a step before the gate, or let the gate end the run."
        yield scope.fault(placed[position][0], "bypassed_step", said, hint)


def _order_warnings(placed: Placed, scope: Scope) -> Iterator[Fault]:
    written: str | None = None
    for path, step in placed:
        if step.govern and written:
            yield scope.document.fault(
                path, "write_before_govern", f"{written!r} writes before {step.key!r} decides.",
                "Put the govern step first if it guards that write.", "warning",
            )  # fmt: skip
        written = writer(step, scope.catalogue) or written
