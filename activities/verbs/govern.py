"""GOVERN: policy over one row of facts."""

from collections.abc import Mapping
from typing import Any

from activities.approving import Approving
from activities.sensitivity import hidden_columns
from activities.work import Result, Work, tables
from kernel.errors import Fault, PolicyDenied
from kernel.redaction import redact_record
from workflows.expressions import fill, holds
from workflows.model import Approve, Deny, Govern
from workflows.rows import plain


def govern(work: Work, policy: Govern) -> Result:
    """Evaluate the rules: the first `deny` that holds fails the step with its reason; for every `approve`
    that holds people are asked, unless they have approved these very records.

    Rules see all facts. What is recorded and said has texts redacted that may come from sensitive columns.
    """
    engine = work.services.engine
    sources = work.sources(engine.analyse(policy.facts).tables)
    facts = engine.row(policy.facts, tables(sources))
    texts = {name: isinstance(value, str) for name, value in facts.items()}
    shown = redact_record(facts, hidden_columns(sources.values(), texts))
    for rule in policy.rules:
        if isinstance(rule, Deny) and holds(rule.deny, {**work.values(), **facts}):
            said = ", ".join(f"{name} = {value}" for name, value in shown.items())
            fault = Fault("rule", f"The rule `{rule.deny}` holds ({said}).")
            raise PolicyDenied(_because(work, rule.because, shown), faults=[fault])
    measures = {name: {"fact": value} for name, value in shown.items()}
    if not policy.asks:
        return Result(measures=measures)
    asked = {
        index: _because(work, rule.because, shown)
        for index, rule in enumerate(policy.rules)
        if isinstance(rule, Approve) and holds(rule.approve, {**work.values(), **facts})
    }
    told = {name: plain(value) for name, value in shown.items()}
    asks = Approving(work, work.step).settle(asked, told)
    return Result(measures=measures, counts={"approvals": len(asked)}, asks=asks)


def _because(work: Work, because: str, shown: Mapping[str, Any]) -> str:
    return str(fill(because, {**work.values(), **shown}))
