"""Records as tables: groups and their sums, pages, search, and CSV that no spreadsheet takes for formulas."""

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.approvals import Lines
from console.line_tables import PAGE, Wanted, as_csv, line_table

COLUMNS = ("project", "worker", "amount", "rate")


def lines(*rows: tuple[Any, ...], hidden: frozenset[str] = frozenset()) -> Lines:
    """Records of a write."""
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return Lines(
        "post", COLUMNS, ("project", "worker"), records, hidden, frozenset({"amount", "rate"}) - hidden
    )


ROWS = (
    ("B", "Ann", "1.10", "5"),
    ("A", "Bob", "2.20", "6"),
    ("B", "Cy", None, "5"),
    ("A", "Dee", "0.10", "6"),
)
TOTAL = {"amount": "3.40"}


def test_records_are_grouped_in_the_order_in_which_they_come() -> None:
    table = line_table(lines(*ROWS), TOTAL, Wanted())
    assert table.by == "project"
    assert [(group.name, group.count, group.sums) for group in table.groups] == [
        ("B", 2, {"amount": Decimal("1.10")}),
        ("A", 2, {"amount": Decimal("2.30")}),
    ]
    assert table.sums == {"amount": Decimal("3.40")}


def test_only_what_the_write_measures_is_summed() -> None:
    """A sum of rates would mean nothing, and one that is not the measure would mislead."""
    assert line_table(lines(*ROWS), {"amount": "99"}, Wanted()).sums == {}
    assert line_table(lines(*ROWS), {}, Wanted()).sums == {}
    hidden = line_table(lines(*ROWS, hidden=frozenset({"amount"})), TOTAL, Wanted())
    assert hidden.sums == {}


def test_groups_of_one_are_no_groups() -> None:
    single = [(str(number), "Ann", "1", "5") for number in range(9)]
    assert line_table(lines(*single), {}, Wanted()).by == ""
    assert line_table(lines(*ROWS, hidden=frozenset({"project"})), TOTAL, Wanted()).by == ""


@pytest.mark.parametrize(("text", "found"), [("ann", 1), ("ANN", 1), ("2.2", 1), ("b", 3), ("x", 0), ("", 4)])
def test_a_text_is_found_in_any_column(text: str, found: int) -> None:
    assert line_table(lines(*ROWS), TOTAL, Wanted(text)).found == found


@given(st.lists(st.sampled_from("ABC"), max_size=4 * PAGE), st.integers(-5, 9))
def test_pages_together_show_every_record_once(projects: list[str], page: int) -> None:
    rows = [(project, str(number), "1", "1") for number, project in enumerate(projects)]
    first = line_table(lines(*rows), {}, Wanted())
    tables = [line_table(lines(*rows), {}, Wanted(page=one + 1)) for one in range(first.pages)]
    seen = [row["worker"] for table in tables for group in table.groups for row in group.rows]
    assert sorted(seen, key=int) == [str(number) for number in range(len(rows))]
    assert all(sum(len(group.rows) for group in table.groups) <= PAGE for table in tables)
    assert 1 <= line_table(lines(*rows), {}, Wanted(page=page)).page <= first.pages


@given(st.text())
def test_csv_says_what_there_is_and_starts_no_formula(text: str) -> None:
    data = as_csv(lines((text, "Ann", "-1.10", None)))
    read = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert read[0] == list(COLUMNS)
    assert read[1][2:] == ["-1.10", ""]
    assert read[1][0].removeprefix("'") == text.removeprefix("'")
    assert not read[1][0].startswith(("=", "+", "-", "@", "\t", "\r"))
