"""Cells of a workbook that hold no value although they are not empty.

Those with an error such as #DIV/0!, and formulas that no spreadsheet program has calculated yet. The reader
library delivers both as empty, which would turn a broken amount into a missing one without a word.
"""

import io
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.parsers import expat

_CHUNK = 1 << 20
_ROW_END = b"</row>"
_CELL = re.compile(rb"<c\b([^>]*)(?<!/)>(.*?)</c>", re.DOTALL)
_REFERENCE = re.compile(rb'\br="([A-Z]{1,3})(\d+)"')
_ERROR = re.compile(rb'\bt="e"')
_TEXT = re.compile(rb"<v>([^<]*)</v>")


@dataclass(frozen=True)
class NoValue:
    """Stands in a row for a cell without a value. `text` is what the cell shows."""

    text: str

    @property
    def reason(self) -> str:
        """What is wrong with the cell."""
        return "holds an error" if self.text else "is a formula that was never calculated"

    def __str__(self) -> str:
        return self.text


def cells_without_value(data: bytes, sheet: str) -> dict[tuple[int, int], NoValue]:
    """Such cells of one sheet by row and column, both counted from 1. `data` is a readable workbook."""
    with zipfile.ZipFile(io.BytesIO(data)) as container:
        part = _part(container, sheet)
        if part is None:
            return {}
        with container.open(part) as source:
            return dict(_gaps(iter(lambda: source.read(_CHUNK), b"")))


def _gaps(chunks: Iterator[bytes]) -> Iterator[tuple[tuple[int, int], NoValue]]:
    rest = b""
    for chunk in chunks:
        whole, end, rest = (rest + chunk).rpartition(_ROW_END)
        # Most rows have neither: looking for two short texts is far cheaper than taking every cell apart.
        if b'"e"' in whole or b"<f" in whole:
            yield from _gaps_in(whole + end)


def _gaps_in(rows: bytes) -> Iterator[tuple[tuple[int, int], NoValue]]:
    for attributes, content in _CELL.findall(rows):
        place = _REFERENCE.search(attributes)
        # A formula whose result is empty text has an empty <v/>; one never calculated has none.
        broken, uncalculated = _ERROR.search(attributes), b"<f" in content and b"<v" not in content
        if place and (broken or uncalculated):
            shown = _TEXT.search(content)
            text = shown[1].decode("utf-8", "replace") if shown else ""
            yield (int(place[2]), _column_number(place[1])), NoValue(text)


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _part(container: zipfile.ZipFile, sheet: str) -> str | None:
    """The part of the package that holds the sheet (ECMA-376, part 1, 18.2.19 and part 2, 9.3)."""
    names = container.namelist()
    if "xl/workbook.xml" not in names or "xl/_rels/workbook.xml.rels" not in names:
        return None
    relation: list[str] = []
    targets: dict[str, str] = {}

    def in_workbook(tag: str, attributes: dict[str, str]) -> None:
        if tag.rpartition(":")[2] == "sheet" and attributes.get("name") == sheet:
            relation.extend(value for name, value in attributes.items() if name.rpartition(":")[2] == "id")

    def in_relations(tag: str, attributes: dict[str, str]) -> None:
        if tag.rpartition(":")[2] == "Relationship":
            targets[attributes.get("Id", "")] = attributes.get("Target", "")

    _walk(container.read("xl/workbook.xml"), in_workbook)
    _walk(container.read("xl/_rels/workbook.xml.rels"), in_relations)
    target = targets.get(relation[0]) if relation else None
    if not target:
        return None
    part = posixpath.normpath(posixpath.join("/xl", target)).removeprefix("/")
    return part if part in names else None


def _walk(xml: bytes, visit: Callable[[str, dict[str, str]], None]) -> None:
    parser = expat.ParserCreate()
    parser.StartElementHandler = visit
    parser.Parse(xml, True)
