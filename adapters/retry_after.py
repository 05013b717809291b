"""When a system wants to be asked again: all the ways in which it may say so."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 86_400.0
"""Nobody waits longer than a day because a header says so."""

_FIRST_EPOCH = 1_000_000_000
"""Resets below this are seconds from now, not seconds since 1970: some systems count that way."""


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait, from 0 to `LONGEST_SECONDS`, or `None` when the headers do not say.

    `headers` have lower-case names. Read in this order, unusable ones passed over: `retry-after-ms`;
    `retry-after` as seconds or an HTTP date (RFC 9110, 10.2.3); `x-rate-limit-reset` as seconds since 1970.
    Dates are compared with the system's own `date` header, so that its clock may be wrong.
    """
    moment = _date(headers.get("date", "")) or now or datetime.now(UTC)
    for name, read in _FORMS:
        seconds = read(headers.get(name, "").strip(), moment)
        if seconds is not None:
            return min(max(seconds, 0.0), LONGEST_SECONDS)
    return None


def _milliseconds(text: str, _now: datetime) -> float | None:
    number = _number(text)
    return None if number is None else number / 1000


def _seconds_or_date(text: str, now: datetime) -> float | None:
    number = _number(text)
    if number is not None:
        return number
    date = _date(text)
    return None if date is None else (date - now).total_seconds()


def _reset(text: str, now: datetime) -> float | None:
    number = _number(text)
    if number is None or number < _FIRST_EPOCH:
        return number
    return number - now.timestamp()


_FORMS: tuple[tuple[str, Callable[[str, datetime], float | None]], ...] = (
    ("retry-after-ms", _milliseconds),
    ("retry-after", _seconds_or_date),
    ("x-rate-limit-reset", _reset),
)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
