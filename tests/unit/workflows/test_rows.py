"""Rows as text: nothing lost on the way there and back, one digest for one meaning."""

from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.records import Record, Records, Value
from tests.unit.workflows.test_sql import NAMES, TEXTS, some_records
from workflows.rows import digest, from_json, plain, to_json

WIDE = Context(prec=80)
DECIMALS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places, WIDE),
    st.integers(-(10**38) + 1, 10**38 - 1),
    st.integers(0, 38),
)
VALUES: st.SearchStrategy[Value] = (
    st.none()
    | TEXTS
    | st.integers()
    | DECIMALS
    | st.booleans()
    | st.dates()
    | st.datetimes(timezones=st.just(UTC))
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=5)


@settings(max_examples=120, deadline=None)
@given(some_records())
def test_records_come_back_from_json_as_they_went_in(records: Records) -> None:
    again = from_json(records.columns, to_json(records))
    assert again.columns == records.columns
    assert again.rows == records.rows
    for found, record in zip(again.rows, records.rows, strict=True):
        assert {name: (type(value), str(value)) for name, value in found.items()} == {
            name: (type(value), str(value)) for name, value in record.items()
        }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-10"), "0.0000000001"),
        (date(2024, 3, 1), "2024-03-01"),
        (datetime(2024, 3, 1, 12, 30, tzinfo=UTC), "2024-03-01T12:30:00+00:00"),
        ("x", "x"),
        (5, 5),
        (True, True),
        (None, None),
    ],
)
def test_values_are_written_exactly(value: Value, text: Any) -> None:
    assert plain(value) == text


@settings(max_examples=100, deadline=None)
@given(RECORDS, st.randoms(use_true_random=False))
def test_a_digest_does_not_depend_on_the_order_of_columns(record: Record, random: Any) -> None:
    names = list(record)
    random.shuffle(names)
    assert digest({name: record[name] for name in names}) == digest(record)
    assert digest(record, names) == digest(record)


@settings(max_examples=100, deadline=None)
@given(DECIMALS, st.integers(1, 10))
def test_a_digest_does_not_depend_on_trailing_zeros(value: Decimal, zeros: int) -> None:
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    longer = Decimal((sign, digits + (0,) * zeros, exponent - zeros))
    assert longer == value
    assert digest({"a": longer}) == digest({"a": value})


@settings(max_examples=60, deadline=None)
@given(st.integers())
def test_a_whole_number_is_the_same_as_integer_and_decimal(number: int) -> None:
    assert digest({"a": number}) == digest({"a": Decimal(number)})


@settings(max_examples=200, deadline=None)
@given(DECIMALS, DECIMALS)
def test_different_decimals_have_different_digests(first: Decimal, second: Decimal) -> None:
    assert (digest({"a": first}) == digest({"a": second})) is (first == second)


@settings(max_examples=150, deadline=None)
@given(RECORDS, RECORDS)
def test_different_records_have_different_digests(first: Record, second: Record) -> None:
    def told_apart(record: Record) -> list[tuple[str, bool, Value]]:
        """With the names sorted, true told from 1, and times as their text."""
        return [(name, isinstance(value, bool), timeless(value)) for name, value in sorted(record.items())]

    assert (digest(first) == digest(second)) is (told_apart(first) == told_apart(second))


def timeless(value: Value) -> Value:
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize(
    "others",
    [("5", 5), (None, "None", "null", ""), (True, 1, "true"), (Decimal("0.1"), "0.1", Decimal("0.10001")),
     (Decimal("1234567890123456789012345678.01"), Decimal("1234567890123456789012345678.02")),
     ("a", "A", "a "), (date(2024, 3, 1), date(2024, 3, 2))],
)  # fmt: skip
def test_values_that_only_look_alike_have_different_digests(others: tuple[Value, ...]) -> None:
    assert len({digest({"a": value}) for value in others}) == len(others)


def test_names_belong_to_the_digest() -> None:
    assert digest({"a": 1, "b": 2}) != digest({"a": 2, "b": 1})
    assert digest({"a": 1}) != digest({"b": 1})


def test_only_the_chosen_columns_count() -> None:
    assert digest({"a": 1, "b": 2}, ["a"]) == digest({"a": 1})
    assert digest({"a": Decimal("0.00")}) == digest({"a": Decimal("-0")}) == digest({"a": 0})
