"""Workbooks: exact values, row numbers as shown, and a clear answer to every kind of broken file."""

from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.datasource.files.findings import Findings
from adapters.datasource.files.pages import pages
from adapters.datasource.files.parameters import RecordsParameters
from adapters.datasource.files.xlsx_source import xlsx_table
from kernel.errors import Fault, InvalidData
from kernel.records import Record
from tests.support.adapters import Formula, workbook

SMALL = workbook({"Hours": [["a", "b"], [1, "x"]]})


def read(data: bytes, **parameters: Any) -> list[Record]:
    whole = RecordsParameters.model_validate({"path": "rates.xlsx", **parameters})
    findings = Findings("File 'rates.xlsx'")
    return [row for page in pages(xlsx_table(data, whole, findings), whole, findings) for row in page.rows]


def faults(data: bytes, **parameters: Any) -> tuple[Fault, ...]:
    with pytest.raises(InvalidData) as caught:
        read(data, **parameters)
    return caught.value.faults


def test_typed_cells() -> None:
    data = workbook(
        {
            "Rates": [
                ["code", "rate", "from", "seen", "active", "days"],
                [1010, 42.35, date(2026, 1, 1), datetime(2026, 7, 1, 8, 30, 15, 250_000), True, 3],  # noqa: DTZ001
                ["A-7", "7.50", "2026-02-01", "2026-01-01T08:00:00+01:00", "no", None],
            ]
        }
    )
    types = {
        "code": "text",
        "rate": "decimal(8,2)",
        "from": "date",
        "seen": "timestamp",
        "active": "boolean",
        "days": "integer",
    }
    assert read(data, columns=types, time_zone="Europe/Berlin", row_number="row") == [
        {
            "code": "1010",
            "rate": Decimal("42.35"),
            "from": date(2026, 1, 1),
            "seen": datetime(2026, 7, 1, 6, 30, 15, 250_000, tzinfo=UTC),
            "active": True,
            "days": 3,
            "row": 2,
        },
        {
            "code": "A-7",
            "rate": Decimal("7.50"),
            "from": date(2026, 2, 1),
            "seen": datetime(2026, 1, 1, 7, tzinfo=UTC),
            "active": False,
            "days": None,
            "row": 3,
        },
    ]


def test_a_table_that_begins_elsewhere_keeps_its_row_numbers() -> None:
    rows = [["Report"], [], [None, "a", "b"], [None, 1, 2], [], [None, 3, None]]
    found = read(workbook({"S": rows}), header_row=3, columns={"b": "integer"}, row_number="row")
    assert found == [{"b": 2, "row": 4}, {"b": None, "row": 6}]


def test_the_first_sheet_or_the_named_one() -> None:
    data = workbook({"First": [["a"], [1]], "A & B": [["a"], [2]]})
    assert read(data, columns={"a": "integer"}) == [{"a": 1}]
    assert read(data, columns={"a": "integer"}, sheet="A & B") == [{"a": 2}]
    (fault,) = faults(data, sheet="A and B")
    assert fault.code == "missing_sheet"
    assert "Did you mean 'A & B'? It has 'First', 'A & B'." in fault.hint


def test_headers_may_be_numbers_and_dates() -> None:
    data = workbook(
        {"S": [["a", 2011, 0.5, date(2026, 3, 31), True, Formula("=1/0", "#DIV/0!")], [1, 2, 3, 4, 5, 6]]}
    )
    assert list(
        read(data, columns=dict.fromkeys(["a", "2011", "0.5", "2026-03-31", "TRUE"], "integer"))[0].values()
    ) == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_formulas_count_as_their_stored_values() -> None:
    data = workbook(
        {"S": [["n", "t"], [Formula("=1+1", 2), Formula('="x"', "x")], [Formula("=A1", ""), "y"]]}
    )
    assert read(data, columns={"n": "integer", "t": "text"}) == [{"n": 2, "t": "x"}, {"n": None, "t": "y"}]


def test_errors_in_cells_are_faults_not_empty_cells() -> None:
    rows = [[None, "n", "t"], [None, Formula("=1/0", "#DIV/0!"), "x"], [None, 1, Formula("=NA()", "#N/A")]]
    found = faults(workbook({"Other": [["z"]], "S": rows}), sheet="S", columns={"n": "decimal", "t": "text"})
    assert [(fault.line, fault.field, fault.value) for fault in found] == [
        (2, "n", "#DIV/0!"),
        (3, "t", "#N/A"),
    ]
    assert read(workbook({"S": rows[:2]}), columns={"t": "text"}) == [{"t": "x"}]


def test_values_that_do_not_fit_name_row_and_column() -> None:
    data = workbook({"S": [["n", "at"], [1.5, datetime(2026, 7, 1)], [], ["x", "soon"]]})  # noqa: DTZ001
    found = faults(data, columns={"n": "integer", "at": "timestamp"})
    assert [(fault.line, fault.field) for fault in found] == [(2, "n"), (2, "at"), (4, "n"), (4, "at")]
    assert "time_zone" in found[1].hint


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"a,b\n1,2\n", "not_a_workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "protected_workbook"),
        (b"PK\x03\x04" + bytes(100), "damaged_workbook"),
        (SMALL[:-200], "damaged_workbook"),
        (workbook({"S": []}), "no_header"),
    ],
)
def test_files_that_cannot_be_read_at_all(data: bytes, code: str) -> None:
    (fault,) = faults(data)
    assert fault.code == code
    assert fault.hint


def test_a_header_row_beyond_the_sheet_is_missing() -> None:
    (fault,) = faults(SMALL, header_row=9)
    assert (fault.code, fault.line) == ("no_header", 9)


def test_a_header_alone_is_a_sheet_without_records() -> None:
    assert read(workbook({"S": [["a", "b"]]})) == []


def test_a_workbook_that_unpacks_to_far_more_is_refused() -> None:
    data = workbook({"S": [["a"], *([["x" * 1000]] * 10), *([[0]] * 20_000)]})
    (fault,) = faults(data, max_bytes=len(data) // 4)
    assert fault.code == "too_large"


@settings(max_examples=150)
@given(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=40))
def test_a_damaged_workbook_is_read_or_refused(position: int, noise: bytes) -> None:
    data = SMALL[:position] + noise + SMALL[position + len(noise) :]
    with suppress(InvalidData):
        read(data)
