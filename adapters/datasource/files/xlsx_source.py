"""XLSX: bytes to rows, with the row number of each as the workbook shows it."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from xml.parsers import expat

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from adapters.datasource.files.cells import Cell, header_text
from adapters.datasource.files.findings import Findings, unreadable
from adapters.datasource.files.pages import Row, Table
from adapters.datasource.files.parameters import RecordsParameters
from adapters.datasource.files.xlsx_gaps import NoValue, cells_without_value

_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# What zipfile and expat raise over damaged bytes, beside the error they document.
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    expat.ExpatError,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
# A sheet of real data unpacks to about ten times its size; far more is an accident or an attack.
_MAX_EXPANSION = 20


def xlsx_table(data: bytes, parameters: RecordsParameters, findings: Findings) -> Table:
    """The rows of one sheet; a formula counts as the value stored with it.

    Raises `InvalidData` for what is not a readable workbook, a missing sheet, or a sheet without a header.
    """
    _check_container(data, parameters, findings.what)
    sheet = _sheet(_workbook(data, findings.what), parameters.sheet, findings.what)
    rows = _numbered(sheet, _gaps(data, sheet.name, findings.what))
    header_line = parameters.header_row
    header = next((cells for line, cells in rows if line == header_line), [])
    if not any(cell != "" for cell in header):
        raise unreadable(
            findings.what,
            "no_header",
            f"Row {header_line} of sheet {sheet.name!r} should hold the header but is empty or missing.",
            line=header_line,
            hint="Set the parameter header_row to the row that holds it, or sheet to the right sheet.",
        )
    kept = rows if parameters.empty_rows == "keep" else _filled(rows)
    return Table([header_text(cell) for cell in header], header_line, kept)


def _gaps(data: bytes, sheet: str, what: str) -> Mapping[tuple[int, int], NoValue]:
    try:
        return cells_without_value(data, sheet)
    except _DAMAGES as exc:
        raise _corrupt(what) from exc


def _numbered(
    sheet: CalamineSheet, gaps: Mapping[tuple[int, int], NoValue]
) -> Iterator[tuple[int, list[Cell]]]:
    """Rows with their numbers, and a `NoValue` in each gap."""
    first_column = sheet.start[1] + 1 if sheet.start else 1
    gaps_of: dict[int, list[tuple[int, NoValue]]] = {}
    for (row, column), gap in gaps.items():
        gaps_of.setdefault(row, []).append((column - first_column, gap))
    for line, values in enumerate(sheet.iter_rows(), start=1):
        cells: list[Cell] = [*values]
        for index, gap in gaps_of.get(line, ()):
            cells[index] = gap
        yield line, cells


def _filled(rows: Iterator[tuple[int, list[Cell]]]) -> Iterator[Row]:
    return (row for row in rows if any(cell != "" for cell in row[1]))


def _check_container(data: bytes, parameters: RecordsParameters, what: str) -> None:
    if not data:
        raise unreadable(what, "empty_file", "The file is empty (0 bytes).", hint="Upload it again.")
    if data.startswith(_OLE):
        hint = "Remove the password, or save it as .xlsx."
        message = "The workbook is protected by a password or in the old .xls format."
        raise unreadable(what, "protected_workbook", message, hint=hint)
    if not data.startswith(_ZIP):
        hint = "If it is CSV, set the parameter format to csv."
        raise unreadable(what, "not_a_workbook", "The file is not an Excel workbook.", hint=hint)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as container:
            unpacked = sum(part.file_size for part in container.infolist())
    except _DAMAGES as exc:
        raise _corrupt(what) from exc
    limit = parameters.max_bytes * _MAX_EXPANSION
    if unpacked > limit:
        message = f"The workbook unpacks to {unpacked:,} bytes; the limit is {limit:,}."
        raise unreadable(what, "too_large", message, hint="Split it, or save the sheet as CSV.")


def _workbook(data: bytes, what: str) -> CalamineWorkbook:
    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(data))
    except CalamineError as exc:
        raise _corrupt(what) from exc


def _sheet(workbook: CalamineWorkbook, name: str | None, what: str) -> CalamineSheet:
    names = workbook.sheet_names
    if not names:
        raise _corrupt(what)
    if name is not None and name not in names:
        near = get_close_matches(name, names, n=1)
        raise unreadable(
            what,
            "missing_sheet",
            f"The workbook has no sheet {name!r}.",
            hint=f"{f'Did you mean {near[0]!r}? ' if near else ''}It has {', '.join(map(repr, names))}.",
        )
    try:
        return workbook.get_sheet_by_name(names[0] if name is None else name)
    except CalamineError as exc:
        raise _corrupt(what) from exc


def _corrupt(what: str) -> Exception:
    message = "The workbook is damaged."
    return unreadable(
        what, "damaged_workbook", message, hint="Open it in Excel, save it and upload it again."
    )
