"""NCRONTAB expressions and time spans."""

from datetime import UTC, datetime, time, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localhost.host.functions import Retry
from localhost.host.retries import delay_before
from localhost.host.schedules import Crontab, ScheduleError, parse_schedule, parse_span

_START = datetime(2026, 11, 21, 9, 59, 59, tzinfo=UTC)  # a Saturday


def _next(text: str, moment: datetime = _START, zone: str = "UTC") -> str:
    due = parse_schedule(text, ZoneInfo(zone)).next_after(moment)
    return due.isoformat(" ").removesuffix("+00:00") if due else "never"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * * *", "2026-11-21 10:00:00"),
        ("*/7 * * * * *", "2026-11-21 10:00:00"),
        ("0 */5 * * * *", "2026-11-21 10:00:00"),
        ("*/5 * * * *", "2026-11-21 10:00:00"),
        ("30 59 9 * * *", "2026-11-22 09:59:30"),
        ("59 59 9 * * *", "2026-11-22 09:59:59"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 0 31 2 *", "never"),
        ("0 0 0 13 * Fri", "2027-08-13 00:00:00"),
        ("0 30 9 * Jan Mon", "2027-01-04 09:30:00"),
        ("0 0 9-17 * * Mon-Fri", "2026-11-23 09:00:00"),
        ("0 0 9-17 * * monday-FRIDAY", "2026-11-23 09:00:00"),
        ("0 0 0 * * fri-mon", "2026-11-23 00:00:00"),
        ("0 0 0 * * 0,3", "2026-11-22 00:00:00"),
        ("0 0 0 1-7 * 1", "2026-12-07 00:00:00"),
        ("5/10 * * * * *", "2026-11-21 10:00:05"),
        ("10-20/5 * * * * *", "2026-11-21 10:00:10"),
        ("0 0 0 1 1 *", "2027-01-01 00:00:00"),
        ("0 0 0 31 12 *", "2026-12-31 00:00:00"),
        ("00:00:30", "2026-11-21 10:00:29"),
        ("1.00:00:00", "2026-11-22 09:59:59"),
        ("02:30", "2026-11-21 12:29:59"),
    ],
)
def test_next_moment(text: str, expected: str) -> None:
    assert _next(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("60 * * * * *", "'60': the second field goes from 0 to 59"),
        ("* * * 0 * *", "'0': the day of month field goes from 1 to 31"),
        ("* * * * 13 *", "'13': the month field goes from 1 to 12"),
        ("* * * * * 7", "'7': the day of week field goes from 0 to 6"),
        ("* * * * Foo *", "'Foo' is not a value of the month field"),
        ("*/0 * * * * *", "step of the second field"),
        ("*/x * * * * *", "step of the second field"),
        ("1- * * * * *", "'' is not a value of the second field"),
        ("1,, * * * * *", "'' is not a value of the second field"),
        ("? * * * * *", "'?' is not a value"),
        ("24:00:00", "Use d.hh:mm:ss"),
        ("00:00:00", "of no length"),
        ("1:2:3:4", "not a time span"),
    ],
)
def test_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        # Clocks go from 01:59:59 to 03:00:00 on 2026-03-29 in Berlin.
        ("0 30 2 * * *", "2026-03-28T12:00:00+00:00", "2026-03-29 01:30:00"),
        ("0 0 */1 * * *", "2026-03-29T00:00:00+00:00", "2026-03-29 01:00:00"),
        # Clocks go from 02:59:59 back to 02:00:00 on 2026-10-25 in Berlin.
        ("0 30 2 * * *", "2026-10-24T12:00:00+00:00", "2026-10-25 00:30:00"),
        ("0 30 2 * * *", "2026-10-25T00:30:00+00:00", "2026-10-26 01:30:00"),
        ("0 */15 2 * * *", "2026-10-25T00:45:00+00:00", "2026-10-26 01:00:00"),
        ("0 */15 2 * * *", "2026-10-25T01:00:00+00:00", "2026-10-25 01:15:00"),
        ("0 */30 * * * *", "2026-10-25T00:30:00+00:00", "2026-10-25 01:00:00"),
        ("0 */30 * * * *", "2026-10-25T01:00:00+00:00", "2026-10-25 01:30:00"),
    ],
)
def test_changes_of_clocks(text: str, moment: str, expected: str) -> None:
    assert _next(text, datetime.fromisoformat(moment), "Europe/Berlin") == expected


def _values(low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(low, high), min_size=1, max_size=6).map(lambda found: tuple(sorted(found)))


@given(
    seconds=_values(0, 59),
    minutes=_values(0, 59),
    hours=_values(0, 23),
    days=_values(1, 31),
    weekdays=_values(0, 6),
    start=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - made aware below
)
def test_next_moment_is_the_first_that_fits(
    seconds: tuple[int, ...],
    minutes: tuple[int, ...],
    hours: tuple[int, ...],
    days: tuple[int, ...],
    weekdays: tuple[int, ...],
    start: datetime,
) -> None:
    moment = start.replace(tzinfo=UTC)
    crontab = Crontab(seconds, minutes, hours, days, tuple(range(1, 13)), weekdays)
    due = crontab.next_after(moment)
    assert due is not None
    assert due > moment

    def fits_day(day: datetime) -> bool:
        return day.day in days and (day.weekday() + 1) % 7 in weekdays

    assert fits_day(due)
    for number in range(1, (due.date() - moment.date()).days):
        assert not fits_day(moment + timedelta(days=number))
    times = [time(*parts) for parts in product(hours, minutes, seconds)]
    moments = [datetime.combine(due.date(), each, UTC) for each in times]
    assert due == min(each for each in moments if each > moment)
    if due.date() > moment.date() and fits_day(moment):
        assert all(datetime.combine(moment.date(), each, UTC) <= moment for each in times)


@given(st.text(max_size=20))
def test_any_text_is_a_schedule_or_a_clear_error(text: str) -> None:
    try:
        parse_schedule(text).next_after(_START)
    except ScheduleError as exc:
        assert "'" in str(exc)  # noqa: PT017 - either outcome is right


def test_delays_of_retry_policies() -> None:
    fixed = Retry("fixed_delay", 3, delay_interval="00:00:10")
    assert [delay_before(fixed, number).seconds for number in (1, 2)] == [10, 10]
    growing = Retry("exponential_backoff", -1, minimum_interval="00:00:02", maximum_interval="00:00:15")
    assert [delay_before(growing, number).seconds for number in (1, 2, 3, 4, 99)] == [2, 4, 8, 15, 15]
    assert parse_span("1.02:03:04") == timedelta(days=1, hours=2, minutes=3, seconds=4)
