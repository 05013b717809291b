"""When to try a failed step again."""

from datetime import timedelta

from kernel.durations import parse_duration
from kernel.errors import SluiceError
from workflows.model import Retry

FIRST_PAUSE, QUICK_PAUSE, LONG_PAUSE = 0.2, 2.0, 10.0
"""Seconds: the least to begin with, what pauses soon grow to, and the most that many of them grow to."""
SLOWER_AFTER = 20
"""So many quick pauses, then they grow on: whoever waits for hours must not fill the run's history."""


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


def pause(error: SluiceError, pauses: int, spread: float = 0.0) -> timedelta:
    """How long to wait for what passes by itself (errors that are not counted), after so many pauses before.

    Never less than the error asks for. `spread`, between 0 and 1, keeps those apart that wait for the same.
    """
    asked = error.retry_after or FIRST_PAUSE
    most = min(QUICK_PAUSE * max(1.0, pauses / SLOWER_AFTER), LONG_PAUSE)
    grown = min(asked * 2 ** min(pauses + 1, 10), most)
    return timedelta(seconds=max(asked, grown * (1 + spread) / 2))
