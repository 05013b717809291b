"""Durations as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.durations import parse_duration

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@given(st.integers(0, 99_999), st.sampled_from(sorted(UNITS)))
def test_a_whole_number_and_a_unit_are_a_duration(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") == timedelta(**{UNITS[unit]: number})


@pytest.mark.parametrize(
    "text", ["", "s", "10", "10 s", "10S", "1.5h", "-1h", "+1h", "1h30m", "10ms", "10w", "²s", "h1"]
)
def test_other_texts_are_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration; write a whole number and s, m, h or d"):
        parse_duration(text)


@given(st.text(max_size=6))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert parse_duration(text) >= timedelta(0)
    except ValueError as exc:
        assert repr(text) in str(exc)  # noqa: PT017
