"""Reads and checks a definition: all faults at once, each with path, line, code and a hint."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from kernel.errors import Fault, InvalidDefinition
from workflows.catalogue import Catalogue
from workflows.document import Document, read_document
from workflows.flow import Flow
from workflows.inputs import INPUT_HINTS, is_of_type
from workflows.leaks import secret_literals
from workflows.model import Step, Workflow
from workflows.planning import Plan, make_plan
from workflows.references import RESERVED_KEYS, bypassed_reads
from workflows.shape import Shape, read_shape
from workflows.sql import SqlEngine


@dataclass(frozen=True)
class Checked:
    """The outcome: a workflow and its plan when nothing is wrong, and everything worth saying."""

    workflow: Workflow | None
    plan: Plan | None
    faults: tuple[Fault, ...]

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
            faults += _own_faults(workflow, shape, document)
            faults += _bypass_faults(workflow, shape, document, engine)
            faults += Flow(workflow, shape, document, catalogue, engine).faults()
    faults.sort(key=lambda fault: (fault.line or 0, fault.path))
    sound = workflow is not None and not any(fault.severity == "error" for fault in faults)
    plan = make_plan(workflow, engine) if sound and workflow is not None else None
    return Checked(workflow, plan, tuple(faults))


def _leaks(document: Document) -> Iterator[Fault]:
    for path in secret_literals(document.data):
        yield document.fault(
            path,
            "secret_literal",
            "This looks like a credential.",
            "Keep it in the vault and name it in the connector.",
        )


def _own_faults(workflow: Workflow, shape: Shape, document: Document) -> Iterator[Fault]:
    counts = Counter(step.key for step in workflow.steps)
    placed = list(zip(shape.positions, workflow.steps, strict=True))
    for index, step in placed:
        if counts[step.key] > 1:
            said = f"The step key {step.key!r} is used {counts[step.key]} times."
            yield document.fault(
                ("steps", index, "key"), "duplicate_step", said, "Give each step its own key."
            )
        if step.key in RESERVED_KEYS:
            said = f"{step.key!r} means something else in expressions and gates."
            yield document.fault(("steps", index, "key"), "reserved_key", said, "Choose another key.")
    for name, given in workflow.inputs.items():
        if given.default is not None and not is_of_type(given, given.default):
            said = f"The default of {name!r} is not a {given.type}."
            hint = INPUT_HINTS[given.type]
            yield document.fault(("inputs", name, "default"), "invalid_default", said, hint)
    yield from _order_warnings(placed, document)


def _bypass_faults(
    workflow: Workflow, shape: Shape, document: Document, engine: SqlEngine
) -> Iterator[Fault]:
    for position, key, gate in bypassed_reads(workflow, engine):
        said = f"The gate {gate!r} may have skipped {key!r}, which this step reads."
        hint = "Read a step before the gate, or let the gate end the run."
        yield document.fault(("steps", shape.positions[position]), "bypassed_step", said, hint)


def _order_warnings(placed: list[tuple[int, Step]], document: Document) -> Iterator[Fault]:
    written: str | None = None
    for index, step in placed:
        if step.govern and written:
            yield document.fault(
                ("steps", index), "write_before_govern", f"{written!r} writes before {step.key!r} decides.",
                "Put the govern step first if it guards that write.", "warning",
            )  # fmt: skip
        if step.writes:
            written = step.key
