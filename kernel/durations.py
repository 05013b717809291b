"""Durations as people write them: `10s`, `5m`, `48h`, `7d`."""

from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta:
    """The duration; `ValueError` unless it is a whole number and one of s, m, h, d."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdecimal():
        raise ValueError(f"{text!r} is not a duration; write a whole number and s, m, h or d, e.g. 10m.")
    return timedelta(**{_UNITS[unit]: int(number)})
