"""When to try a failed step again."""

from datetime import timedelta

from kernel.durations import parse_duration
from kernel.errors import SluiceError
from workflows.model import Retry


def retry_delay(policy: Retry, attempt: int, error: SluiceError, spread: float = 0.0) -> timedelta | None:
    """How long to wait after failed attempt number `attempt` (from 1); `None` when there is no next one.

    Only errors that the adapter calls transient are tried again; what the system asked for is honoured.
    `spread`, between 0 and 1, says how much of the policy's jitter this wait gets.
    """
    if not error.transient or attempt >= policy.attempts:
        return None
    grown = parse_duration(policy.first).total_seconds() * policy.factor ** (attempt - 1)
    wait = max(min(grown, parse_duration(policy.max).total_seconds()), error.retry_after or 0)
    return timedelta(seconds=wait * (1 + policy.jitter * spread))
