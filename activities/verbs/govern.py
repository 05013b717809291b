"""GOVERN: policy over one row of facts."""

from activities.sensitivity import hidden_columns
from activities.work import Result, Work, tables
from kernel.errors import Fault, PolicyDenied
from kernel.redaction import redact_record
from workflows.expressions import fill, holds
from workflows.model import Govern


def govern(work: Work, policy: Govern) -> Result:
    """Evaluate the rules in order; the first `deny` that holds fails the step with its reason.

    Rules see all facts. What is recorded and said has texts redacted that may come from sensitive columns.
    """
    engine = work.services.engine
    sources = work.sources(engine.analyse(policy.facts).tables)
    facts = engine.row(policy.facts, tables(sources))
    texts = {name: isinstance(value, str) for name, value in facts.items()}
    shown = redact_record(facts, hidden_columns(sources.values(), texts))
    for rule in policy.rules:
        if holds(rule.deny, {**work.values(), **facts}):
            because = str(fill(rule.because, {**work.values(), **shown}))
            said = ", ".join(f"{name} = {value}" for name, value in shown.items())
            fault = Fault("rule", f"The rule `{rule.deny}` holds ({said}).")
            raise PolicyDenied(because, faults=[fault])
    return Result(measures={name: {"fact": value} for name, value in shown.items()})
