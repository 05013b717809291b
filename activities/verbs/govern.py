"""GOVERN: policy over one row of facts."""

from activities.work import Result, Work
from kernel.errors import Fault, PolicyDenied
from workflows.expressions import fill, holds


def govern(work: Work) -> Result:
    """Evaluate the rules in order; the first `deny` that holds fails the step with its reason."""
    policy = work.step.govern
    assert policy is not None
    engine = work.services.engine
    facts = engine.row(policy.facts, work.context.tables(engine.analyse(policy.facts).tables))
    values = {**work.values(), **facts}
    for rule in policy.rules:
        if holds(rule.deny, values):
            because = str(fill(rule.because, values))
            said = ", ".join(f"{name} = {value}" for name, value in facts.items())
            fault = Fault("rule", f"The rule `{rule.deny}` holds ({said}).")
            raise PolicyDenied(because, faults=[fault])
    return Result(measures={name: {"fact": value} for name, value in facts.items()})
