"""Timestamps: every moment survives, and what names no moment is refused."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernel.timestamps import Unfit, instant, localised, moment_text, normal_text

BERLIN = ZoneInfo("Europe/Berlin")
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS)  # noqa: DTZ001


@given(MOMENTS)
@example(datetime(2011, 1, 1, 12, 37, tzinfo=timezone(timedelta(hours=2))))
def test_a_moment_survives_as_instant_and_as_text(moment: datetime) -> None:
    text = moment.isoformat()
    assert instant(text) == moment
    assert instant(text).tzinfo is UTC
    kept = datetime.fromisoformat(normal_text(text))
    assert (kept, kept.utcoffset()) == (moment, moment.utcoffset())


@given(MOMENTS, st.text("0123456789", max_size=30))
def test_the_normal_text_is_its_own_normal_text(moment: datetime, fraction: str) -> None:
    text = f"{moment.replace(microsecond=0).isoformat()[:19]}.{fraction}0+01:00"
    normal = normal_text(text)
    assert normal_text(normal) == normal
    assert normal[19:-6].removeprefix(".") == fraction.rstrip("0")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2026-03-31T08:00:00+02:00", "2026-03-31T08:00:00+02:00"),
        ("2026-03-31 08:00Z", "2026-03-31T08:00:00+00:00"),
        ("2026-03-31t08:00:00.500z", "2026-03-31T08:00:00.5+00:00"),
        ("2026-03-31T08:00:00,25-0330", "2026-03-31T08:00:00.25-03:30"),
        ("2026-03-31T08:00:00+02", "2026-03-31T08:00:00+02:00"),
        ("2026-03-31T08:00:00.000000000001+02:00", "2026-03-31T08:00:00.000000000001+02:00"),
    ],
)
def test_one_form_for_all_ways_of_writing(text: str, normal: str) -> None:
    assert normal_text(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-03-31",
        "2026-3-1T08:00:00Z",
        "2026-02-30T08:00:00Z",
        "2026-03-31T25:00:00Z",
        "2026-03-31T24:00:00Z",
        "2026-03-31T08:60:00Z",
        "2026-12-31T23:59:60Z",
        "2026-03-31T08:00.5Z",
        "2026-03-31T08:00:00+25:00",
        "2026-03-31T08:00:00 +02:00",
        "2026-W13-2T08:00:00Z",
        "20260331T080000Z",
        "2026-03-31T08:00:00Z\n",
        "\uff12026-03-31T08:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_what_is_not_a_moment_is_refused(text: str) -> None:
    for read in (instant, normal_text):
        with pytest.raises(Unfit) as caught:
            read(text)
        assert not text or text not in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = normal_text(text, BERLIN)
    except Unfit:
        return
    assert instant(read[:19] + read[-6:]) is not None


def test_more_digits_than_microseconds_only_fit_text() -> None:
    assert instant("2026-03-31T08:00:00.1234560Z").microsecond == 123456
    with pytest.raises(Unfit, match="microsecond"):
        instant("2026-03-31T08:00:00.1234567Z")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
def test_the_edges_of_the_calendar_are_refused(text: str) -> None:
    for read in (instant, normal_text):
        with pytest.raises(Unfit, match="years 1 to 9999"):
            read(text)


def test_a_local_time_needs_a_zone() -> None:
    with pytest.raises(Unfit, match="offset from UTC") as caught:
        instant("2026-07-01T08:00:00")
    assert "time_zone" in caught.value.hint
    assert normal_text("2026-07-01T08:00:00", BERLIN) == "2026-07-01T08:00:00+02:00"
    assert instant("2026-01-01T08:00:00", BERLIN) == datetime(2026, 1, 1, 7, tzinfo=UTC)


def test_an_offset_in_the_text_wins_over_the_zone() -> None:
    assert normal_text("2026-07-01T08:00:00+09:00", BERLIN) == "2026-07-01T08:00:00+09:00"


def test_times_that_the_clocks_skip_or_repeat_are_refused() -> None:
    with pytest.raises(Unfit, match="does not exist in Europe/Berlin"):
        instant("2026-03-29T02:30:00", BERLIN)
    with pytest.raises(Unfit, match="happens twice in Europe/Berlin"):
        instant("2026-10-25T02:30:00", BERLIN)
    for fine in ("2026-03-29T01:59:59", "2026-03-29T03:00:00", "2026-10-25T01:59:59", "2026-10-25T03:00:00"):
        assert normal_text(fine, BERLIN).startswith(fine)


@given(st.datetimes(datetime(1980, 1, 1), datetime(2037, 12, 31)), st.timezones())  # noqa: DTZ001
def test_a_local_time_means_one_moment_or_is_refused(naive: datetime, zone: ZoneInfo) -> None:
    there = {fold: naive.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    meant = {
        moment for moment in there.values() if moment.astimezone(zone).replace(tzinfo=None, fold=0) == naive
    }
    try:
        assert {localised(naive, zone).astimezone(UTC)} == meant
    except Unfit:
        assert len(meant) != 1


def test_an_old_offset_with_seconds_is_refused() -> None:
    with pytest.raises(Unfit, match="whole minutes"):
        localised(datetime(1850, 1, 1), BERLIN)  # noqa: DTZ001


@given(MOMENTS)
def test_datetimes_become_the_same_text(moment: datetime) -> None:
    assert moment_text(moment) == normal_text(moment.isoformat())
