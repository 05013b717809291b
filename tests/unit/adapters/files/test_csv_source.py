"""CSV: physical line numbers, and a clear answer to every kind of broken file."""

import csv
import io
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.datasource.files.csv_source import csv_table
from adapters.datasource.files.findings import Findings
from adapters.datasource.files.pages import PAGE_SIZE, pages
from adapters.datasource.files.parameters import RecordsParameters
from kernel.errors import Fault, InvalidData
from kernel.records import Record, Records


def read_pages(data: bytes | str, **parameters: Any) -> list[Records]:
    whole = RecordsParameters.model_validate({"path": "log.csv", **parameters})
    findings = Findings("File 'log.csv'")
    encoded = data.encode() if isinstance(data, str) else data
    return list(pages(csv_table(encoded, whole, findings), whole, findings))


def read(data: bytes | str, **parameters: Any) -> list[Record]:
    return [row for page in read_pages(data, **parameters) for row in page.rows]


def faults(data: bytes | str, **parameters: Any) -> tuple[Fault, ...]:
    with pytest.raises(InvalidData) as caught:
        read(data, **parameters)
    assert caught.value.faults
    return caught.value.faults


CELLS = st.text(st.sampled_from("ab,;\"\n\r '\u00e4\u2028"), max_size=6)
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8), LINE_ENDS)
@example([["a", "x\r\ny", "z"], ["", "", ""], ["b", "\n", "\r"]], "\r\n")
def test_cells_and_lines_are_those_of_an_editor(rows: list[list[str]], end: str) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["h1", "h2", "h3"])
    expected = []
    for row in rows:
        line = len(re.split(r"\r\n|\r|\n", buffer.getvalue()))
        writer.writerow(row)
        if any(row):
            expected.append(
                {**dict(zip(["h1", "h2", "h3"], (cell or None for cell in row), strict=True)), "at": line}
            )
    assert read(buffer.getvalue(), row_number="at") == expected


@given(st.lists(CELLS, max_size=3), LINE_ENDS)
def test_a_fault_names_the_line_of_its_cell(before: list[str], end: str) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow([*(f"h{index}" for index in range(len(before))), "n"])
    line = len(re.split(r"\r\n|\r|\n", buffer.getvalue() + "".join(f'"{cell}",' for cell in before)))
    writer.writerow([*before, "wrong"])
    (fault,) = faults(buffer.getvalue(), columns={"n": "integer"})
    assert (fault.line, fault.field, fault.value) == (line, "n", "wrong")


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "utf-16", "cp1252", "latin-1"]))
@example(b"\xef\xbb\xbf", "utf-8")
@example(b'a,b\n"', "utf-8")
def test_any_bytes_are_read_or_refused(data: bytes, encoding: str) -> None:
    with suppress(InvalidData):
        read(data, encoding=encoding)


def test_typed_records() -> None:
    text = "case_id,start_time,hours\r\n1,2011-01-01T12:37:00+02:00,1.25\r\n2,,\r\n"
    columns = {
        "case": {"type": "integer", "header": "case_id"},
        "start_time": "timestamp_text",
        "hours": "decimal",
    }
    (page,) = read_pages(text, columns=columns)
    assert [column.type for column in page.columns] == ["integer", "timestamp_text", "decimal"]
    assert [[str(value) for value in row.values()] for row in page.rows] == [
        ["1", "2011-01-01T12:37:00+02:00", "1.25"],
        ["2", "None", "None"],
    ]


def test_a_column_may_have_one_of_several_headers() -> None:
    columns = {"payee": {"type": "text", "header": ["Supplier Name", "Payee"]}}
    assert read("Payee\nAcme\n", columns=columns) == [{"payee": "Acme"}]
    assert read("Payee,Supplier Name\nAcme,Best\n", columns=columns) == [{"payee": "Best"}]
    (fault,) = faults("supplier name,amount\nAcme,1\n", columns=columns)
    assert (fault.code, fault.line, fault.field) == ("missing_column", 1, "payee")
    assert "Did you mean 'supplier name'?" in fault.hint


@pytest.mark.parametrize("header", ["supplier_name", "SUPPLIER NAME ", "Supplier-Name", "SupplierName"])
def test_loose_headers_compare_letters_and_digits(header: str) -> None:
    columns = {"payee": {"type": "text", "header": "Supplier Name"}}
    assert read(f"{header},a\nAcme,1\n", columns=columns, headers="loose") == [{"payee": "Acme"}]
    (fault,) = faults(f"{header},suppliername\nAcme,1\n", columns=columns, headers="loose")
    assert fault.code == "duplicate_header"


@pytest.mark.parametrize("type_", ["text", "date", "decimal(18,2)"])
def test_an_optional_column_that_is_missing_is_null(type_: str) -> None:
    columns = {"a": "text", "b": {"type": type_, "optional": True}}
    assert read("a\n1\n", columns=columns) == [{"a": "1", "b": None}]


def test_empty_rows_are_records_when_they_are_to_be_kept() -> None:
    text = "a,b\n1,2\n,\n\n3,4\n"
    kept = read(text, empty_rows="keep", row_number="line")
    assert kept == [{"a": "1", "b": "2", "line": 2}, {"a": None, "b": None, "line": 3},
                    {"a": "3", "b": "4", "line": 5}]  # fmt: skip
    assert [row["line"] for row in read(text, row_number="line")] == [2, 5]


def test_without_columns_everything_is_text() -> None:
    (page,) = read_pages("a,b\n1,\n")
    assert [(column.name, column.type) for column in page.columns] == [("a", "text"), ("b", "text")]
    assert page.rows == [{"a": "1", "b": None}]


def test_a_header_alone_is_a_file_without_records() -> None:
    for text in ("a,b", "a,b\n", "a,b\r\n\r\n,\n"):
        (page,) = read_pages(text, columns={"b": "date"})
        assert (len(page), [column.name for column in page.columns]) == (0, ["b"])


def test_pages_are_bounded_and_in_order() -> None:
    text = "n\n" + "".join(f"{number}\n" for number in range(2 * PAGE_SIZE + 1))
    found = read_pages(text, columns={"n": "integer"})
    assert [len(page) for page in found] == [PAGE_SIZE, PAGE_SIZE, 1]
    assert [row["n"] for page in found for row in page.rows] == list(range(2 * PAGE_SIZE + 1))


def test_lines_before_the_header_are_skipped_but_counted() -> None:
    text = 'Report "weekly\n\na;b\n1;2\n'
    assert read(text, header_row=3, delimiter=";", row_number="at") == [{"a": "1", "b": "2", "at": 4}]


@pytest.mark.parametrize("encode", [str.encode, lambda text: text.encode("utf-8-sig")])
def test_a_byte_order_mark_is_no_part_of_the_header(encode: Callable[[str], bytes]) -> None:
    assert read(encode("\u00e4,b\n1,2\n")) == [{"\u00e4": "1", "b": "2"}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"])
def test_other_encodings(encoding: str) -> None:
    data = "n\u00e4me,b\nM\u00fcller,2\n".encode(encoding)
    assert read(data, encoding=encoding) == [{"n\u00e4me": "M\u00fcller", "b": "2"}]


def test_every_missing_column_is_named_with_those_present() -> None:
    found = faults("case_id,start_time\n", columns={"case": "text", "resource": "text", "start_time": "text"})
    assert [fault.field for fault in found] == ["case", "resource"]
    assert all(fault.code == "missing_column" and fault.line == 1 for fault in found)
    assert "Did you mean 'case_id'?" in found[0].hint
    assert "'case_id', 'start_time'" in found[1].hint


def test_a_wrong_delimiter_is_recognised() -> None:
    (fault,) = faults("a;b\n1;2\n", columns={"a": "text"})
    assert "set the parameter delimiter" in fault.hint
    assert "';'" in fault.hint


def test_a_header_that_occurs_twice_is_ambiguous_only_where_wanted() -> None:
    (fault,) = faults("a,b,a\n1,2,3\n", columns={"a": "text"})
    assert (fault.code, fault.field) == ("duplicate_header", "a")
    assert read("a,b,a\n1,2,3\n", columns={"b": "text"}) == [{"b": "2"}]
    assert {fault.code for fault in faults("a,,a\n1,2,3\n")} == {"duplicate_header", "empty_header"}


def test_the_row_number_must_not_hide_a_column() -> None:
    (fault,) = faults("a,line\n1,2\n", row_number="line")
    assert fault.code == "duplicate_header"


def test_the_first_twenty_faults_by_line_and_their_number() -> None:
    text = "n,d\n" + "x,2026-01-01\n" * 30 + "1,never\n"
    with pytest.raises(InvalidData, match=r"31 faults \(n 30, d 1\).*first 20") as caught:
        read(text, columns={"n": "integer", "d": "date"})
    assert [fault.line for fault in caught.value.faults] == list(range(2, 22))
    assert "never" not in caught.value.message


def test_faults_of_all_kinds_come_together_in_the_order_of_lines() -> None:
    text = "n,d\n1\nx,2026-01-01\n2,2026-02-30\n3,2026-01-01,extra\n"
    found = faults(text, columns={"n": "integer", "d": "date"})
    assert [(fault.line, fault.code) for fault in found] == [
        (2, "row_width"),
        (3, "unreadable_value"),
        (4, "unreadable_value"),
        (5, "row_width"),
    ]


def test_faults_late_in_a_large_file_stop_the_pages_there_but_are_all_found() -> None:
    good = "1\n" * (PAGE_SIZE + 10)
    whole = RecordsParameters.model_validate({"path": "log.csv", "columns": {"n": "integer"}})
    findings = Findings("File 'log.csv'")
    data = ("n\n" + good + "x\n" + good + "y\n").encode()
    delivered: list[Records] = []
    with pytest.raises(InvalidData) as caught:
        delivered.extend(pages(csv_table(data, whole, findings), whole, findings))
    assert [len(page) for page in delivered] == [PAGE_SIZE]
    assert [fault.value for fault in caught.value.faults] == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\n1,"never closed\n2,3\n', 2),
        ('a,b\n1,2\n3,"x"y\n', 3),
        ('a,b\n"1\n2",3\n"x" ,2\n', 4),
    ],
)
def test_unbalanced_quotes_name_the_line_where_the_row_begins(text: str, line: int) -> None:
    fault = faults(text)[-1]
    assert (fault.code, fault.line) == ("malformed_row", line)
    assert "quote" in fault.hint


def test_a_row_that_swallowed_others_says_from_where_to_where() -> None:
    (fault,) = faults('a,b\n1,"2\n3,4\n5,6",7\n')
    assert (fault.line, fault.code) == (2, "row_width")
    assert "lines 2 to 4" in fault.hint


def test_a_broken_header_is_told_as_such() -> None:
    (fault,) = faults('"a"b,c\n1,2\n')
    assert (fault.code, fault.line) == ("malformed_header", 1)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"\xef\xbb\xbf", "no_header"),
        (b"\n\n", "no_header"),
        (b",,\n1,2,3\n", "no_header"),
        (b"PK\x03\x04rest", "not_text"),
        (b"%PDF-1.7", "not_text"),
        (bytes(range(256)), "not_text"),
        (b"a,b\n\x00,1\n", "nul_characters"),
        ("a,b\n1,2\n".encode("utf-16-le"), "nul_characters"),
        ("a,b\n1,2\n".encode("utf-16"), "wrong_encoding"),
    ],
)
def test_files_that_cannot_be_read_at_all(data: bytes, code: str) -> None:
    (fault,) = faults(data)
    assert fault.code == code
    assert fault.hint


def test_a_wrong_encoding_names_byte_and_line_and_what_it_looks_like() -> None:
    (fault,) = faults("a,b\n1,2\n3,Descripci\u00f3n\n".encode("latin-1"))
    assert (fault.code, fault.line) == ("wrong_encoding", 3)
    assert "byte 19" in fault.message
    assert "windows-1252 or latin-1" in fault.hint
    (fault,) = faults("a\n\u20ac\n".encode("cp1252"))
    assert "looks like windows-1252:" in fault.hint
    (fault,) = faults("a,b\n\u00e4,2\n".encode("utf-16"))
    assert "utf-16" in fault.hint
    (fault,) = faults("a,b\n1,\u00e4\n", encoding="ascii")
    assert "looks like utf-8:" in fault.hint
    (fault,) = faults("a,b\n1,2\n".encode("utf-8-sig"), encoding="cp1252")
    assert "looks like utf-8:" in fault.hint


def test_no_message_repeats_a_cell() -> None:
    with pytest.raises(InvalidData) as caught:
        read("n,d\ncanary,canary\ncanary,canary,canary\n", columns={"n": "integer", "d": "date"})
    parts = [caught.value.message, *(fault.message + fault.hint for fault in caught.value.faults)]
    assert "canary" not in " ".join(parts)
    assert [fault.value for fault in caught.value.faults] == ["canary", "canary", None]
