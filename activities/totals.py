"""Control totals: per measure, read = posted + already posted + rejected + held, or the run fails."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from activities.posting import Fate
from kernel.errors import Fault, TotalsNotProved
from store.runs import TaskRow
from workflows.model import Step, Workflow
from workflows.states import TaskState


@dataclass(frozen=True)
class TotalsLine:
    """One measure of one write. Values are whole numbers or decimals."""

    step: str
    measure: str
    read: Decimal
    posted: Decimal
    already_posted: Decimal
    rejected: Decimal
    held: Decimal

    @property
    def proved(self) -> bool:
        """Whether nothing was lost or made up."""
        return self.read == self.posted + self.already_posted + self.rejected + self.held

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; numbers as decimal strings."""
        names = ("read", *(str(fate) for fate in Fate))
        values = {name: format(getattr(self, name), "f") for name in names}
        return {"step": self.step, "measure": self.measure, **values, "proved": self.proved}


def prove_totals(workflow: Workflow, tasks: Sequence[TaskRow]) -> list[TotalsLine]:
    """The lines of every write that ran; `TotalsNotProved` names those that do not balance."""
    by_key = {task.step_key: task for task in tasks}
    lines = [line for step in workflow.steps if step.push for line in _lines(step, by_key)]
    broken = [
        Fault("unbalanced", f"{line.measure} of {line.step!r}: read {line.read} is not the sum of its parts.")
        for line in lines
        if not line.proved
    ]
    if broken:
        raise TotalsNotProved("The control totals of the run do not balance.", faults=broken)
    return lines


def _lines(step: Step, tasks: Mapping[str, TaskRow]) -> Iterator[TotalsLine]:
    assert step.push is not None
    write, source = tasks[step.key], tasks[step.push.records]
    for name, upstream in (source.measures or {}).items():
        read, rejected = _number(upstream["total"]), _number(upstream["rejected"])
        if write.state is TaskState.SUCCEEDED:
            parts = {str(fate): _number((write.measures or {})[name][fate]) for fate in Fate}
        else:  # bypassed by a logic gate: what could have been written is held
            parts = {str(fate): Decimal(0) for fate in Fate} | {"held": read - rejected}
        parts["rejected"] += rejected
        yield TotalsLine(step.key, name, read, **parts)


def _number(value: int | str) -> Decimal:
    return Decimal(value)
