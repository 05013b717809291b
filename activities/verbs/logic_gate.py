"""LOGIC_GATE: go on, jump, or end."""

from activities.work import Result, Work
from workflows.expressions import holds
from workflows.model import LogicGate


def logic_gate(work: Work, gate: LogicGate) -> Result:
    """Evaluate the condition; `jump` says where to go when it does not hold."""
    open_ = holds(gate.when, work.values())
    return Result(counts={"open": int(open_)}, jump=None if open_ else gate.otherwise)
