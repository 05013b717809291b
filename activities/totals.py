"""Control totals: per measure, read = posted + already posted + rejected + held, or the run fails.

The counts are also held against the posting ledger. They differ when a step was repeated after what it reads
had changed, and a call with the old values turns out to have been taken: the run has posted what it no longer
knows of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from activities.fates import SETTLED_FATES, Fate
from kernel.errors import Fault, TotalsNotProved
from store.chunk_totals import Written
from store.runs import TaskRow
from workflows.model import Push, Workflow
from workflows.states import TaskState


@dataclass(frozen=True)
class ChunkTotals:
    """What the writes inside dispatches have done, by step: per measure, and how many records they count as
    posted."""

    written: Mapping[str, Sequence[Written]]
    posted: Mapping[str, int]


NO_CHUNKS = ChunkTotals({}, {})


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
        names = ("read", *(str(fate) for fate in SETTLED_FATES))
        values = {name: format(getattr(self, name), "f") for name in names}
        return {"step": self.step, "measure": self.measure, **values, "proved": self.proved}


def prove_totals(
    workflow: Workflow, tasks: Sequence[TaskRow], confirmed: Mapping[str, int],
    chunks: ChunkTotals = NO_CHUNKS,
) -> list[TotalsLine]:  # fmt: skip
    """The lines of every write that ran, those inside dispatches over all their chunks. `confirmed` is what
    the posting ledger has of each step.

    Raises `TotalsNotProved` with the lines that do not balance and the steps that differ from the ledger.
    """
    by_key = {task.step_key: task for task in tasks}
    writes = {step.key: step.push for step in workflow.steps if step.push}
    lines = [line for key, push in writes.items() for line in _lines(key, push, by_key)]
    lines += [_over_chunks(step, part) for step, parts in chunks.written.items() for part in parts]
    broken = [
        Fault("unbalanced", f"{line.measure} of {line.step!r}: read {line.read} is not the sum of its parts.")
        for line in lines
        if not line.proved
    ]
    counted = {**{key: _counted(by_key[key]) for key in writes}, **chunks.posted}
    broken += [fault for key in counted for fault in _ledger_faults(key, counted[key], confirmed.get(key, 0))]
    if broken:
        raise TotalsNotProved("The control totals of the run do not balance.", faults=broken)
    return lines


def _counted(write: TaskRow) -> int:
    ended = write.state is TaskState.SUCCEEDED
    return (write.counts or {}).get(Fate.POSTED, 0) if ended else 0


def _ledger_faults(key: str, counted: int, found: int) -> Iterator[Fault]:
    if counted != found:
        said = f"{key!r} counts {counted} posted records, the posting ledger has {found} of it."
        yield Fault("ledger_differs", said, hint="The source changed meanwhile; compare it with the ledger.")


def _over_chunks(step: str, part: Written) -> TotalsLine:
    rejected, held = part.rejected + part.set_aside, part.held + part.unsent
    return TotalsLine(step, part.measure, part.read, part.posted, part.already_posted, rejected, held)


def _lines(key: str, push: Push, tasks: Mapping[str, TaskRow]) -> Iterator[TotalsLine]:
    write, source = tasks[key], tasks[push.records]
    for name, upstream in (source.measures or {}).items():
        read, rejected = _number(upstream["total"]), _number(upstream["rejected"])
        if write.state is TaskState.SUCCEEDED:
            parts = {str(fate): _number((write.measures or {})[name][fate]) for fate in SETTLED_FATES}
        else:  # bypassed by a logic gate: what could have been written is held
            parts = {str(fate): Decimal(0) for fate in SETTLED_FATES} | {"held": read - rejected}
        parts["rejected"] += rejected
        yield TotalsLine(key, name, read, **parts)


def _number(value: int | str) -> Decimal:
    return Decimal(value)
