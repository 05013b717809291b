"""Values to JSON and back, exactly."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.datasource.rest.wire import NotJson, decoded, dumped, encoded, parsed
from kernel.records import Column, Value
from kernel.timestamps import Unfit

TEXT, WHOLE, FLAG, DAY, MOMENT = (
    Column.parse("c", kind) for kind in ("text", "integer", "boolean", "date", "timestamp")
)
MONEY = Column.parse("c", "decimal(18,2)")
cases = st.one_of(
    st.tuples(st.just(TEXT), st.text().filter(lambda text: "\x00" not in text)),
    st.tuples(st.just(WHOLE), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(FLAG), st.booleans()),
    st.tuples(st.just(DAY), st.dates()),
    st.tuples(st.just(MOMENT), st.datetimes(timezones=st.just(UTC))),
    st.tuples(st.just(MONEY), st.decimals(-(10**15), 10**15, places=2)),
    st.tuples(st.just(Column.parse("c", "decimal")), st.decimals(-(10**9), 10**9, places=9)),
    st.tuples(st.sampled_from([TEXT, WHOLE, FLAG, DAY, MOMENT, MONEY]), st.none()),
)


@given(cases, st.sampled_from(["number", "text"]))
def test_what_is_sent_is_what_was_meant(
    case: tuple[Column, Value], decimals: Literal["number", "text"]
) -> None:
    column, value = case
    body = dumped({"c": [encoded(value, column, decimals)]}).encode()
    assert decoded(parsed(body)["c"][0], column) == value


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_data)
def test_any_data_is_written_as_json(data: Any) -> None:
    assert json.loads(dumped(data)) == data


@pytest.mark.parametrize(
    ("value", "as_number", "as_text"),
    [("12.5", "12.50", '"12.50"'), ("1E+3", "1000.00", '"1000.00"'), ("-0.10", "-0.10", '"-0.10"')],
)
def test_money_has_its_declared_scale(value: str, as_number: str, as_text: str) -> None:
    assert dumped(encoded(Decimal(value), MONEY, "number")) == as_number
    assert dumped(encoded(Decimal(value), MONEY, "text")) == as_text


def test_digits_beyond_a_float_survive() -> None:
    text = "12345678901234567890.123456789"
    assert parsed(text.encode()) == Decimal(text)
    assert dumped(encoded(Decimal(text), Column.parse("c", "decimal"), "number")) == text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"1e999999999",
        b"1e99999999999999999999",
        b"[" * 100_000,
        b"\xff",
        b"1" * 5000,
    ],
)
def test_what_is_not_usable_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        parsed(body)


@pytest.mark.parametrize(
    ("value", "column"),
    [
        (7, TEXT),
        ("7", WHOLE),
        (Decimal("7.5"), WHOLE),
        ("seven", MONEY),
        ("1e5", MONEY),
        (Decimal("1.005"), MONEY),
        ("true", FLAG),
        (1, FLAG),
        ("2026-13-01", DAY),
        ("2026-01-01T00:00:00Z", DAY),
        ("2026-01-01T00:00:00", MOMENT),
        ({}, TEXT),
        ([], DAY),
    ],
)
def test_what_a_column_cannot_hold_is_refused(value: Any, column: Column) -> None:
    with pytest.raises(Unfit):
        decoded(value, column)


def test_numbers_may_come_as_text_and_dates_as_iso() -> None:
    assert decoded("12.50", MONEY) == Decimal("12.50")
    assert decoded("2026-03-31", DAY) == date(2026, 3, 31)
    assert decoded("2026-03-31T08:00:00+02:00", MOMENT) == datetime(2026, 3, 31, 6, tzinfo=UTC)
