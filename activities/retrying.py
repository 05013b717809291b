"""When to try a failed step again."""

from datetime import timedelta

from kernel.durations import parse_duration
from kernel.errors import SluiceError
from workflows.model import Retry


def retry_delay(policy: Retry, attempt: int, error: SluiceError) -> timedelta | None:
    """How long to wait after failed attempt number `attempt` (from 1); `None` when there is no next one.

    Only errors that the adapter calls transient are tried again; what the system asked for is honoured.
    """
    if not error.transient or attempt >= policy.attempts:
        return None
    grown = parse_duration(policy.first).total_seconds() * policy.factor ** (attempt - 1)
    wait = min(grown, parse_duration(policy.max).total_seconds())
    return timedelta(seconds=max(wait, error.retry_after or 0))
