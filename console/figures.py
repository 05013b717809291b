"""How numbers, times and names are written on pages."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

_WORDS = {None: "none", True: "yes", False: "no"}
_LONGEST = 40


def number(value: Any) -> str:
    """The value with thousands set apart when it is a number, else as it is."""
    if value is None or isinstance(value, bool):
        return _WORDS[value]
    found = decimal(value)
    if found is None or abs(found.adjusted()) >= _LONGEST:
        return str(value)
    return f"{found:,f}".replace("-", "\N{MINUS SIGN}")


def signed(value: Any) -> str:
    """A difference, always with its sign."""
    found = decimal(value)
    return number(value) if found is None or found <= 0 else f"+{number(value)}"


def decimal(value: Any) -> Decimal | None:
    """The number that a value is; `None` when it is none."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def percent(difference: Any, before: Any) -> str:
    """A difference as part of what was before, e.g. `+12.5 %`; empty when that says nothing."""
    change, base = decimal(difference), decimal(before)
    if not change or not base:
        return ""
    return f"{signed(round(change / abs(base) * 100, 1))}\N{NO-BREAK SPACE}%"


def label(name: Any) -> str:
    """A name of a column or a fact as words."""
    text = str(name).replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def count(amount: Any, one: str, many: str = "") -> str:
    """How many of something, e.g. `1 record`, `2,000 records`."""
    return f"{number(amount)}\N{NO-BREAK SPACE}{one if decimal(amount) == 1 else many or one + 's'}"


def moment(time: datetime, zone: ZoneInfo) -> str:
    """Day, time and zone with its offset, e.g. `Mon 23 Nov 2026, 20:00 AEDT (UTC+11:00)`."""
    local = time.astimezone(zone)
    offset = f" (UTC{local:%:z})" if local.utcoffset() else ""
    return f"{local:%a} {local.day} {local:%b %Y, %H:%M} {local.tzname()}{offset}"


def machine_time(time: datetime) -> str:
    """The time for machines, in UTC (RFC 3339)."""
    return time.astimezone(UTC).isoformat(timespec="seconds")


def left(until: datetime, now: datetime) -> str:
    """How long it is until a time, in the two largest units, e.g. `1 day 4 h`; empty when it is past."""
    minutes = (until - now) // timedelta(minutes=1)
    if minutes < 0:
        return ""
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{days} {'day' if days == 1 else 'days'}" if days else "", f"{hours} h" if hours else ""]
    parts.append(f"{rest} min" if not days and (rest or not hours) else "")
    return " ".join(part for part in parts if part)
