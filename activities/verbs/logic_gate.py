"""LOGIC_GATE: go on, jump, or end."""

from activities.work import Result, Work
from workflows.expressions import holds


def logic_gate(work: Work) -> Result:
    """Evaluate the condition; `jump` says where to go when it does not hold."""
    gate = work.step.logic_gate
    assert gate is not None
    open_ = holds(gate.when, work.values())
    return Result(counts={"open": int(open_)}, jump=None if open_ else gate.otherwise)
