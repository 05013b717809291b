"""Numbers and times as pages write them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from console.figures import count, left, machine_time, moment, number, percent, signed

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("61204.50", "61,204.50"), (1842, "1,842"), ("-3.10", "\u22123.10"), ("0", "0"), ("", ""),
        (None, "none"), (True, "yes"), (False, "no"), ("NaN", "NaN"), ("1e999999", "1e999999"),
        ("Week 47", "Week 47"), ("12_000", "12,000"),
    ],
)  # fmt: skip
def test_numbers_have_their_thousands_set_apart(value: Any, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("difference", "before", "shown"),
    [
        ("+2.50", "3.75", ("+2.50", "+66.7\xa0%")),
        ("-2.50", "5.00", ("\u22122.50", "\u221250.0\xa0%")),
        ("+1", "-4", ("+1", "+25.0\xa0%")),
        ("+1", "0", ("+1", "")),
        ("+0", "5", ("0", "")),
        ("x", "5", ("x", "")),
    ],
)
def test_differences_have_their_sign(difference: str, before: str, shown: tuple[str, str]) -> None:
    assert (signed(difference), percent(difference, before)) == shown


def test_how_many() -> None:
    assert [count(n, "record") for n in (0, 1, "1", 2000)] == [
        "0\xa0records", "1\xa0record", "1\xa0record", "2,000\xa0records",
    ]  # fmt: skip
    assert count(2, "person", "people") == "2\xa0people"


def test_a_time_is_said_in_its_zone_with_the_offset() -> None:
    assert moment(NOW, ZoneInfo("UTC")) == "Mon 23 Nov 2026, 09:00 UTC"
    assert moment(NOW, ZoneInfo("Australia/Sydney")) == "Mon 23 Nov 2026, 20:00 AEDT (UTC+11:00)"
    assert machine_time(NOW.astimezone(ZoneInfo("Australia/Sydney"))) == "2026-11-23T09:00:00+00:00"


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        ({"days": 2, "hours": 3, "minutes": 7}, "2 days 3 h"),
        ({"days": 1}, "1 day"),
        ({"hours": 5, "minutes": 12}, "5 h 12 min"),
        ({"hours": 5}, "5 h"),
        ({"seconds": 59}, "0 min"),
        ({"seconds": -1}, ""),
    ],
)
def test_how_long_there_is_left(time: dict[str, float], shown: str) -> None:
    assert left(NOW + timedelta(**time), NOW) == shown
