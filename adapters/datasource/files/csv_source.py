"""CSV: bytes to rows, with the physical line of each."""

import csv
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from adapters.datasource.files.encodings import decoded
from adapters.datasource.files.findings import Findings, unreadable
from adapters.datasource.files.pages import Row, Table
from adapters.datasource.files.parameters import RecordsParameters
from kernel.errors import Fault

if TYPE_CHECKING:
    from _csv import Reader

# Lines with their ends, which the csv module must see. str.splitlines would also split at characters that
# editors do not take for line ends, and io.StringIO would hold the text at four bytes a character.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_QUOTE_HINT = 'Look for a quote without its partner; inside a quoted cell a quote is written twice ("").'


def csv_table(data: bytes, parameters: RecordsParameters, findings: Findings) -> Table:
    """The rows of a CSV file. Empty lines are no records, nor are rows of empty cells unless they are kept.

    Rows of another width than the header, and quotes that do not pair, become findings as the rows are read.
    Raises `InvalidData` for a file that is not text in the given encoding or has no header.
    """
    text = decoded(data, parameters.encoding, findings.what)
    lines = (line.group() for line in _LINE.finditer(text))
    skipped = parameters.header_row - 1
    for _ in range(skipped):
        next(lines, None)
    reader = csv.reader(lines, delimiter=parameters.delimiter, strict=True)
    try:
        header = next(reader, [])
    except csv.Error as exc:
        raise unreadable(
            findings.what,
            "malformed_header",
            f"The header is not CSV: {exc}.",
            line=parameters.header_row,
            hint=_QUOTE_HINT,
        ) from exc
    if not any(header):
        raise unreadable(
            findings.what,
            "no_header",
            f"Line {parameters.header_row} should hold the header but is empty or missing.",
            line=parameters.header_row,
            hint="Set the parameter header_row to the line that holds it.",
        )
    rows = _rows(reader, len(header), skipped, findings)
    if parameters.empty_rows == "skip":
        rows = (row for row in rows if any(row[1]))
    return Table(header, parameters.header_row, rows)


def _rows(reader: "Reader", width: int, skipped: int, findings: Findings) -> Iterator[Row]:
    """Rows of the header's width with the line on which each begins."""
    last = reader.line_num
    try:
        for cells in reader:
            line = skipped + last + 1
            last = reader.line_num
            if len(cells) == width:
                yield line, cells
            elif cells:
                findings.add(_width_fault(line, skipped + last, len(cells), width))
    except csv.Error as exc:
        findings.add(_quote_fault(skipped + last + 1, str(exc)))


def _width_fault(first: int, last: int, found: int, width: int) -> Fault:
    spans = f" It spans lines {first} to {last}: a quote may be missing." if last > first else ""
    return Fault(
        code="row_width",
        message=f"The row has {found} cells, the header {width}.",
        line=first,
        hint=f"Quote cells that hold the delimiter.{spans}",
    )


def _quote_fault(line: int, problem: str) -> Fault:
    return Fault(
        code="malformed_row",
        message=f"The row that begins here is not CSV ({problem}); what follows it was not examined.",
        line=line,
        hint=_QUOTE_HINT,
    )
