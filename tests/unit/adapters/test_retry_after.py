"""Every way in which a system may say when to come back."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.retry_after import LONGEST_SECONDS, retry_after

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NAMES = ("retry-after", "retry-after-ms", "x-rate-limit-reset", "date")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Saturday, 21-Nov-26 12:00:30 GMT"}, 30),
        ({"retry-after": "Sat Nov 21 12:00:30 2026"}, 30),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "99999999"}, LONGEST_SECONDS),
        ({"retry-after-ms": "2500", "retry-after": "9"}, 2.5),
        ({"retry-after-ms": "?", "retry-after": "9"}, 9),
        ({"x-rate-limit-reset": str(int(NOW.timestamp()) + 12)}, 12),
        ({"x-rate-limit-reset": "12"}, 12),
        ({"x-rate-limit-reset": str(int(NOW.timestamp()) - 12)}, 0),
    ],
)
def test_each_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@given(st.timedeltas(timedelta(days=-900), timedelta(days=900)), st.integers(0, 80_000))
def test_the_clocks_need_not_agree(skew: timedelta, seconds: int) -> None:
    theirs = NOW + timedelta(seconds=int(skew.total_seconds()))
    headers = {
        "date": format_datetime(theirs, usegmt=True),
        "retry-after": format_datetime(theirs + timedelta(seconds=seconds), usegmt=True),
    }
    assert retry_after(headers, NOW) == seconds


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=40)))
def test_nonsense_is_never_an_error_and_never_a_long_wait(headers: dict[str, str]) -> None:
    seconds = retry_after(headers, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_SECONDS


numbers = st.one_of(
    st.integers(0, 10**12),
    st.floats(allow_nan=True),
    st.from_regex(r"[A-Z][a-z]{2}, \d\d [A-Z]", fullmatch=True),
)


@given(st.dictionaries(st.sampled_from(NAMES), numbers.map(str)))
def test_numbers_of_any_size_are_bounded(headers: dict[str, str]) -> None:
    seconds = retry_after(headers, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_SECONDS
