"""Columns hold values exactly or not at all."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.records import Column, ColumnKind
from kernel.timestamps import Unfit
from kernel.values import conform

SIZES = st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p)))
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20)


def column(text: str) -> Column:
    return Column.parse("c", text)


@given(NUMBERS, SIZES)
def test_a_decimal_fits_exactly_when_the_column_can_write_it(value: Decimal, size: tuple[int, int]) -> None:
    precision, scale = size
    scaled = Fraction(value) * 10**scale  # decimal arithmetic would round to 28 digits
    fits = scaled.denominator == 1 and abs(scaled) < 10**precision
    sized = Column("c", ColumnKind.DECIMAL, precision, scale)
    if fits:
        assert conform(value, sized) == value
    else:
        with pytest.raises(Unfit):
            conform(value, sized)


@given(st.integers())
def test_an_integer_fits_64_bits_or_is_refused(value: int) -> None:
    for given_value in (value, Decimal(value)):
        if -(2**63) <= value < 2**63:
            assert conform(given_value, column("integer")) == value
        else:
            with pytest.raises(Unfit, match="64-bit"):
                conform(given_value, column("integer"))


@pytest.mark.parametrize("kind", list(ColumnKind))
def test_null_fits_every_column(kind: ColumnKind) -> None:
    assert conform(None, Column("c", kind)) is None


@pytest.mark.parametrize("kind", list(ColumnKind))
@pytest.mark.parametrize("value", [0.1, float("nan"), 1.0, [], {}, b"bytes", object()])
def test_floats_and_foreign_types_fit_no_column(kind: ColumnKind, value: Any) -> None:
    with pytest.raises(Unfit):
        conform(value, Column("c", kind))


@pytest.mark.parametrize(
    ("value", "type_", "problem"),
    [
        (True, "integer", "bool"),
        (True, "decimal", "bool"),
        (1, "boolean", "int"),
        (Decimal("1.5"), "integer", "Decimal"),
        (Decimal("NaN"), "decimal", "finite"),
        (Decimal("Infinity"), "decimal", "finite"),
        (Decimal("0.1"), "decimal(2,0)", "0 decimal places"),
        (Decimal(100), "decimal(4,2)", "2 digits before"),
        (datetime(2026, 1, 1, tzinfo=UTC), "date", "datetime"),
        (date(2026, 1, 1), "timestamp", "date"),
        (datetime(2026, 1, 1), "timestamp", "offset"),  # noqa: DTZ001
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "timestamp", "years"),
        ("2026-01-01", "date", "str"),
        ("2026-01-01T00:00:00", "timestamp_text", "offset"),
        ("a\0b", "text", "NUL"),
        ("\ud800", "text", "surrogate"),
    ],
)
def test_what_does_not_fit_says_why(value: Any, type_: str, problem: str) -> None:
    with pytest.raises(Unfit, match=problem):
        conform(value, column(type_))


def test_trailing_zeros_are_no_digits() -> None:
    assert conform(Decimal("1.5000"), column("decimal(2,1)")) == Decimal("1.5")
    assert conform(Decimal("0.000"), column("decimal(1,1)")) == 0
    assert conform(Decimal("1E+3"), column("decimal(4,0)")) == 1000


def test_timestamps_come_out_in_utc_and_texts_in_their_own_offset() -> None:
    moment = datetime(2026, 3, 31, 8, tzinfo=timezone(timedelta(hours=2)))
    assert conform(moment, column("timestamp")) == moment
    assert str(conform(moment, column("timestamp"))) == "2026-03-31 06:00:00+00:00"
    assert conform(moment, column("timestamp_text")) == "2026-03-31T08:00:00+02:00"
    assert conform("2026-03-31 08:00+0200", column("timestamp_text")) == "2026-03-31T08:00:00+02:00"
