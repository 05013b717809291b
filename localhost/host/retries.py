"""Retry policies of functions, as the `@app.retry` decorator states them."""

from datetime import timedelta

from localhost.host.functions import Retry
from localhost.host.schedules import parse_span

_DEFAULT_DELAY = "00:00:05"
_LONGEST_SHIFT = 30


def retry_limit(retry: Retry | None) -> int:
    """How often a function is tried again; -1 means without end."""
    return retry.max_retry_count if retry else 0


def delay_before(retry: Retry, number: int) -> timedelta:
    """How long to wait before retry `number` (from 1): fixed, or doubled each time between two bounds."""
    if retry.strategy == "fixed_delay":
        return parse_span(retry.delay_interval or _DEFAULT_DELAY)
    low = parse_span(retry.minimum_interval or _DEFAULT_DELAY)
    high = parse_span(retry.maximum_interval or "1.00:00:00")
    return min(low * (1 << min(number - 1, _LONGEST_SHIFT)), high)
