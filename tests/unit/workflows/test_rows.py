"""What makes two records the same one."""

import unicodedata
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.records import Value
from workflows.rows import canonical, digest

CET = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Decimal("1.5"), Decimal("1.50")),
        (5, Decimal("5.00")),
        (Decimal("-0.00"), 0),
        (Decimal("1E+3"), 1000),
        ("Zoë", unicodedata.normalize("NFD", "Zoë")),
        (datetime(2024, 3, 1, 8, tzinfo=CET), datetime(2024, 3, 1, 7, tzinfo=UTC)),
    ],
)
def test_one_meaning_has_one_form(one: Value, other: Value) -> None:
    assert canonical(one) == canonical(other)
    assert digest({"a": one}) == digest({"a": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Decimal("12345678901234567890123456789.01"), Decimal("12345678901234567890123456789.02")),
        (1, True),
        (1, "1"),
        (None, ""),
        (None, "None"),
        (10, 100),
        (Decimal("0.10"), Decimal("0.01")),
        ("Straße", "Strasse"),
    ],
)
def test_different_meanings_have_different_forms(one: Value, other: Value) -> None:
    assert digest({"a": one}) != digest({"a": other})


def test_a_date_is_the_text_that_json_has_of_it() -> None:
    assert canonical(date(2024, 3, 1)) == "2024-03-01"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6), st.integers(0, 6))
def test_trailing_zeros_never_matter(number: Decimal, zeros: int) -> None:
    sign, digits, exponent = number.as_tuple()
    longer = Decimal((sign, (*digits, *([0] * zeros)), int(exponent) - zeros))
    assert canonical(number) == canonical(longer)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
def test_only_equal_numbers_are_the_same(one: Decimal, other: Decimal) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)
