"""Cells become typed values exactly, or are refused with a remedy."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.datasource.files.cells import Cell, Reader, reader
from adapters.datasource.files.parameters import ColumnSpec, RecordsParameters
from adapters.datasource.files.xlsx_gaps import NoValue
from kernel.records import Column
from kernel.timestamps import Unfit

NOTATIONS: list[dict[str, Any]] = [{}, {"thousands": ","}, {"thousands": ".", "decimal_mark": ","}]
PLACES = st.integers(0, 10)


def read_as(type_: str, *, spec: dict[str, Any] | None = None, **parameters: Any) -> Reader:
    whole = RecordsParameters.model_validate({"path": "a.csv", **parameters})
    return reader(Column.parse("c", type_), ColumnSpec.model_validate({"type": type_, **(spec or {})}), whole)


@given(PLACES.flatmap(lambda p: st.decimals(min_value=-(10**15), max_value=10**15, places=p)))
def test_decimals_are_read_exactly(value: Decimal) -> None:
    text = f"{value:f}"
    assert read_as("decimal")(text) == value
    assert str(read_as("decimal")(text)) == str(Decimal(text))


@given(PLACES.flatmap(lambda p: st.decimals(min_value=-(10**15), max_value=10**15, places=p)))
def test_grouped_and_decimal_comma_notations_are_read_exactly(value: Decimal) -> None:
    grouped = f"{value:,f}"
    assert read_as("decimal", thousands=",")(grouped) == value
    continental = grouped.replace(",", "x").replace(".", ",").replace("x", ".")
    assert read_as("decimal", thousands=".", decimal_mark=",")(continental) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_read_exactly(value: int) -> None:
    assert read_as("integer")(str(value)) == value
    assert read_as("integer", thousands="'")(f"{value:,}".replace(",", "'")) == value


@given(st.text(max_size=30).filter(bool))
def test_text_is_kept_exactly(text: str) -> None:
    assert read_as("text")(text) == text


@given(st.text("0123456789.,+- '", max_size=12))
def test_what_reads_as_a_number_is_that_number(text: str) -> None:
    for parameters in NOTATIONS:
        try:
            value = read_as("decimal(38,20)", **parameters)(text)
        except Unfit:
            continue
        mark = parameters.get("decimal_mark", ".")
        plain = text.replace(parameters.get("thousands", "_"), "").replace(mark, ".")
        assert value == (Decimal(plain) if plain else None)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1,234.50", "thousands"),
        ("1.234,50", "thousands"),
        (" 12 ", "trim"),
        ("12\n", "trim"),
        ("1.5E+3", "scientific"),
        ("KYD 10.00", "text"),
        ("(500.00)", "text"),
        ("1_000", "text"),
        ("NaN", "text"),
        ("--5", "text"),
        ("\u0665", "text"),
    ],
)
def test_a_number_that_is_not_plain_is_refused_with_a_remedy(text: str, hint: str) -> None:
    with pytest.raises(Unfit, match="plain number") as caught:
        read_as("decimal")(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["12,34", "1,2345", "1,234,56", ",123", "1,234,", "1.234,5"])
def test_groups_must_be_of_three_digits(text: str) -> None:
    with pytest.raises(Unfit):
        read_as("decimal", thousands=",")(text)


@pytest.mark.parametrize(
    ("text", "type_", "problem"),
    [
        ("1.5", "integer", "whole number"),
        ("9223372036854775808", "integer", "64-bit"),
        ("9" * 5000, "integer", "whole number"),
        ("0.001", "decimal(8,2)", "2 decimal places"),
        ("1000000", "decimal(8,2)", "6 digits"),
        ("maybe", "boolean", "true or false"),
        ("31/03/2026", "date", "ISO date"),
        ("2026-02-30", "date", "calendar"),
        ("20260331", "date", "ISO date"),
        ("2026-03-31", "timestamp", "ISO 8601"),
        ("2026-03-31T08:00", "timestamp_text", "offset"),
    ],
)
def test_text_that_does_not_fit_says_why(text: str, type_: str, problem: str) -> None:
    with pytest.raises(Unfit, match=problem):
        read_as(type_)(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("TRUE", True), ("yes", True), ("1", True), ("False", False), ("no", False), ("0", False)],
)
def test_booleans(text: str, value: bool) -> None:
    assert read_as("boolean")(text) is value


@given(st.dates())
def test_dates_are_read_as_written(day: date) -> None:
    assert read_as("date")(day.isoformat()) == day
    british = read_as("date", spec={"format": "dd/mm/yyyy"})
    assert british(f"{day.day}/{day.month}/{day.year:04}") == day
    assert british(f"{day.day:02}/{day.month:02}/{day.year:04}") == day
    american = read_as("date", spec={"format": "mm/dd/yyyy"})
    assert american(f"{day.month}/{day.day}/{day.year:04}") == day


@pytest.mark.parametrize(
    "text", ["13/13/2026", "31/02/2026", "1/2/26", "2026-01-01", "1-2-2026", "1/2/2026 "]
)
def test_dates_in_another_order_are_refused(text: str) -> None:
    with pytest.raises(Unfit, match="dd/mm/yyyy"):
        read_as("date", spec={"format": "dd/mm/yyyy"})(text)


def test_empty_cells_and_null_texts_are_null() -> None:
    read = read_as("decimal", null_values=["PNS", "-"])
    assert [read(text) for text in ("", "PNS", "-", "1")] == [None, None, None, Decimal(1)]
    with pytest.raises(Unfit):
        read("pns")


def test_a_required_cell_must_not_be_empty() -> None:
    read = read_as("text", spec={"required": True}, null_values=["n/a"])
    for text in ("", "n/a"):
        with pytest.raises(Unfit, match="required"):
            read(text)


def test_trim_is_only_done_when_asked_for() -> None:
    assert read_as("text")(" a ") == " a "
    assert read_as("text", spec={"trim": True})(" a ") == "a"
    assert read_as("decimal", spec={"trim": True})("\t1.5 ") == Decimal("1.5")
    assert read_as("text", spec={"trim": True})("   ") is None


# Cells of workbooks.


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9))
def test_numbers_become_the_shortest_decimal_that_names_them(number: float) -> None:
    value = read_as("decimal(38,20)")
    exact = Decimal(repr(number))
    try:
        assert value(number) == exact
    except Unfit:
        assert -int(exact.normalize().as_tuple().exponent) > 20


@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_are_exact_in_every_type(number: int) -> None:
    cell = float(number)
    assert read_as("integer")(cell) == number
    assert read_as("decimal(38,0)")(cell) == number
    assert read_as("text")(cell) == str(number)


@pytest.mark.parametrize(
    ("cell", "type_", "value"),
    [
        (12.5, "text", "12.5"),
        (1e-7, "text", "0.0000001"),
        (1e-7, "decimal", Decimal("0.0000001")),
        (True, "text", "TRUE"),
        (date(2026, 3, 31), "text", "2026-03-31"),
        (datetime(2026, 3, 31, 8, 30), "text", "2026-03-31T08:30:00"),  # noqa: DTZ001
        (time(8, 30), "text", "08:30:00"),
        (True, "boolean", True),
        (0.0, "boolean", False),
        (7, "integer", 7),
        (date(2026, 3, 31), "date", date(2026, 3, 31)),
        ("2026-03-31", "date", date(2026, 3, 31)),
        ("12.50", "decimal", Decimal("12.50")),
        ("", "decimal", None),
    ],
)
def test_workbook_cells(cell: Cell, type_: str, value: Any) -> None:
    read = read_as(type_)(cell)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("cell", "type_", "problem"),
    [
        (1.5, "integer", "whole number"),
        (2.0**60, "integer", "exactly"),
        (True, "integer", "true or false"),
        (True, "decimal", "true or false"),
        (2.0, "boolean", "a number"),
        (45_000.0, "date", "a number"),
        (datetime(2026, 3, 31, 8, 30), "date", "time of day"),  # noqa: DTZ001
        (time(8, 30), "timestamp", "a time of day"),
        (timedelta(hours=30), "text", "duration"),
        (timedelta(hours=30), "decimal", "a duration"),
        (datetime(2026, 3, 31, 8), "timestamp", "offset"),  # noqa: DTZ001
        (NoValue("#DIV/0!"), "text", "error"),
        (NoValue(""), "decimal", "never calculated"),
    ],
)
def test_workbook_cells_that_do_not_fit_say_why(cell: Cell, type_: str, problem: str) -> None:
    with pytest.raises(Unfit, match=problem):
        read_as(type_)(cell)


def test_workbook_times_are_local_to_the_stated_zone() -> None:
    cell = datetime(2026, 7, 1, 8, 0, 0, 250_000)  # noqa: DTZ001
    zone: dict[str, Any] = {"time_zone": "Europe/Berlin"}
    assert read_as("timestamp", **zone)(cell) == datetime(2026, 7, 1, 6, 0, 0, 250_000, tzinfo=UTC)
    assert read_as("timestamp_text", **zone)(cell) == "2026-07-01T08:00:00.25+02:00"
    assert read_as("timestamp_text", **zone)(date(2026, 1, 2)) == "2026-01-02T00:00:00+01:00"
    with pytest.raises(Unfit, match="does not exist"):
        read_as("timestamp", **zone)(datetime(2026, 3, 29, 2, 30))  # noqa: DTZ001
