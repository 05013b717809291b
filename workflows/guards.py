"""Which writes wait for which approvals."""

from collections.abc import Sequence

from workflows.model import Step


def guards_of(steps: Sequence[Step], key: str) -> list[Step]:
    """The steps of the same level before `key` that may ask people; what that step writes waits for them."""
    keys = [step.key for step in steps]
    return [step for step in steps[: keys.index(key)] if step.govern and step.govern.asks]


def guarded_by(steps: Sequence[Step], key: str) -> list[Step]:
    """The steps of the same level after `key` that write."""
    keys = [step.key for step in steps]
    return [step for step in steps[keys.index(key) + 1 :] if step.writes]
