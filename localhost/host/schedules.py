"""When a timer trigger fires: six-field NCRONTAB expressions and time spans, as Azure reads them.

NCRONTAB is cron with seconds first, and with *and* between day of month and day of week where Unix has *or*;
that is why no cron library is used. Rules: https://github.com/atifaziz/NCrontab/wiki/Crontab-Expression and
https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions.
"""

import calendar
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Protocol

_MONTHS = tuple(name.casefold() for name in calendar.month_name[1:])
_DAYS = tuple(name.casefold() for name in (calendar.day_name[6], *calendar.day_name[:6]))
_LAST_YEAR = 2999
_SPAN = re.compile(r"(?:(?P<days>\d+)\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}))?")


class ScheduleError(ValueError):
    """The expression is not a schedule. The message says which part and why."""


class Schedule(Protocol):
    """A sequence of moments."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first moment later than `moment` (aware), in UTC; None if none comes before the year 3000."""
        ...

    @property
    def follows_clock(self) -> bool:
        """Whether it names times of day, so that daylight saving time moves it."""
        ...


@dataclass(frozen=True)
class Span:
    """A moment every so often, counted from the last one."""

    every: timedelta
    follows_clock: bool = False

    def next_after(self, moment: datetime) -> datetime:
        """See `Schedule`."""
        return moment.astimezone(UTC) + self.every


@dataclass(frozen=True)
class Field:
    """One field of an expression: its name, its lowest and highest value, and words for the values."""

    name: str
    low: int
    high: int
    names: Sequence[str] = ()


_FIELDS = (
    Field("second", 0, 59),
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, _MONTHS),
    Field("day of week", 0, 6, _DAYS),
)


@dataclass(frozen=True)
class Crontab:
    """The allowed values of each field, sorted, and the time zone in which they are meant."""

    seconds: Sequence[int]
    minutes: Sequence[int]
    hours: Sequence[int]
    days: Sequence[int]
    months: Sequence[int]
    weekdays: Sequence[int]
    zone: tzinfo = UTC

    @property
    def follows_clock(self) -> bool:
        """See `Schedule`. Several hours of the day make an interval, as in the Functions host."""
        return len(self.hours) == 1

    def next_after(self, moment: datetime) -> datetime | None:
        """See `Schedule`."""
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        found = self._next_local(local)
        if found is None:
            return None
        if self.follows_clock:
            due = found.replace(tzinfo=self.zone)
            # In an hour that occurs twice the first one is meant, unless it is over.
            return (due if due > moment else due.replace(fold=1)).astimezone(UTC)
        # An interval keeps its pace when clocks change, also through a repeated hour.
        return moment.astimezone(UTC) + (found - local)

    def _next_local(self, local: datetime) -> datetime | None:
        start = (local + timedelta(seconds=1)).replace(microsecond=0)
        moment = self._first_time(start.time())
        day: date | None = start.date()
        if moment is None or not self._allows(start.date()):
            day = self._first_day(start.date() + timedelta(days=1))
            moment = time(self.hours[0], self.minutes[0], self.seconds[0])
        return datetime.combine(day, moment) if day else None

    def _allows(self, day: date) -> bool:
        weekday = (day.weekday() + 1) % 7
        return day.month in self.months and day.day in self.days and weekday in self.weekdays

    def _first_day(self, day: date) -> date | None:
        while day.year <= _LAST_YEAR:
            if self._allows(day):
                return day
            day += timedelta(days=1)
            while day.month not in self.months and day.year <= _LAST_YEAR:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        return None

    def _first_time(self, start: time) -> time | None:
        """The first allowed time of day that is not before `start`."""
        if start.hour in self.hours:
            if (
                start.minute in self.minutes
                and (found := _not_before(self.seconds, start.second)) is not None
            ):
                return time(start.hour, start.minute, found)
            if (found := _not_before(self.minutes, start.minute + 1)) is not None:
                return time(start.hour, found, self.seconds[0])
        found = _not_before(self.hours, start.hour + 1)
        return None if found is None else time(found, self.minutes[0], self.seconds[0])


def _not_before(values: Sequence[int], low: int) -> int | None:
    position = bisect_left(values, low)
    return values[position] if position < len(values) else None


def parse_schedule(text: str, zone: tzinfo = UTC) -> Schedule:
    """The schedule that an NCRONTAB expression (five or six fields) or a time span describes."""
    if ":" in text:
        return Span(parse_span(text))
    parts = text.split()
    if len(parts) not in (5, 6):
        raise ScheduleError(f"'{text}' has {len(parts)} fields; NCRONTAB has six, seconds first.")
    if len(parts) == 5:
        parts = ["0", *parts]
    values = [_parse_field(field, part) for field, part in zip(_FIELDS, parts, strict=True)]
    seconds, minutes, hours, days, months, weekdays = values
    return Crontab(seconds, minutes, hours, days, months, weekdays, zone)


def parse_span(text: str) -> timedelta:
    """A .NET TimeSpan, `[d.]hh:mm[:ss]`, longer than nothing."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ScheduleError(f"'{text}' is not a time span of the form hh:mm:ss or d.hh:mm:ss.")
    parts = {name: int(value or 0) for name, value in match.groupdict().items()}
    if parts["hours"] > 23 or parts["minutes"] > 59 or parts["seconds"] > 59:
        raise ScheduleError(f"'{text}': hours go to 23, minutes and seconds to 59. Use d.hh:mm:ss.")
    span = timedelta(**parts)
    if not span:
        raise ScheduleError(f"'{text}' is a time span of no length.")
    return span


def _parse_field(field: Field, text: str) -> tuple[int, ...]:
    values: set[int] = set()
    for item in text.split(","):
        values |= set(_parse_item(field, item))
    return tuple(sorted(values))


def _parse_item(field: Field, text: str) -> range:
    body, slash, step_text = text.partition("/")
    if slash and not (step_text.isdecimal() and int(step_text) > 0):
        raise ScheduleError(f"'{text}': the step of the {field.name} field must be a whole number above 0.")
    step = int(step_text) if slash else 1
    if body == "*":
        return range(field.low, field.high + 1, step)
    first_text, dash, last_text = body.partition("-")
    first = _parse_value(field, first_text)
    if dash:
        last = _parse_value(field, last_text)
        return range(min(first, last), max(first, last) + 1, step)
    return range(first, field.high + 1, step) if slash else range(first, first + 1)


def _parse_value(field: Field, text: str) -> int:
    if text.isdecimal():
        value = int(text)
        if not field.low <= value <= field.high:
            raise ScheduleError(f"'{text}': the {field.name} field goes from {field.low} to {field.high}.")
        return value
    named = [
        position for position, name in enumerate(field.names) if text and name.startswith(text.casefold())
    ]
    if not named:
        raise ScheduleError(f"'{text}' is not a value of the {field.name} field.")
    return field.low + named[0]
