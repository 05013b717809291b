"""Whether bytes are text in the encoding that was said; if not, where it breaks and what they look like."""

import codecs
import re

from adapters.datasource.files.findings import unreadable
from kernel.errors import InvalidData

_MARK = "\ufeff"
# Longer marks first: UTF-32's little-endian mark begins with UTF-16's.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NOT_TEXT = {
    b"PK\x03\x04": "an Excel workbook or another ZIP file",
    b"\xd0\xcf\x11\xe0": "an old or password-protected Office file",
    b"%PDF": "a PDF file",
    b"\x1f\x8b": "a gzip file",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "a SQLite database",
}
_C1 = re.compile(rb"[\x80-\x9f]")
# NUL is left out: it has a message of its own.
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1f]")
_SAMPLE = 4096
_BINARY_SHARE = 0.05
_LINE_END = re.compile(r"\r\n?|\n")


def decoded(data: bytes, encoding: str, what: str) -> str:
    """The text of a file, without its byte order mark.

    Raises `InvalidData` for what is empty, not text, in another encoding, or has NUL characters.
    """
    if not data:
        raise unreadable(what, "empty_file", "The file is empty (0 bytes).", hint="Upload it again.")
    _refuse_binary(data, encoding, what)
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if marked and not encoding.startswith(marked):
        raise _misread(what, encoding, marked, offset=0, line=1)
    try:
        text = data.decode(encoding).removeprefix(_MARK)
    except UnicodeDecodeError as exc:
        line = 1 + len(_LINE_END.findall(data[: exc.start].decode("latin-1")))
        raise _misread(what, encoding, _likely(data), offset=exc.start, line=line) from exc
    if "\x00" in text:
        raise _holds_nul(text, data, what)
    return text


def _refuse_binary(data: bytes, encoding: str, what: str) -> None:
    kind = next((kind for magic, kind in _NOT_TEXT.items() if data.startswith(magic)), None)
    head = data[:_SAMPLE]
    wide = encoding.startswith(("utf-16", "utf-32")) or head.startswith(tuple(_MARKS))
    if kind is None and not wide and len(_CONTROL.findall(head)) > len(head) * _BINARY_SHARE:
        kind = "binary"
    if kind:
        hint = "If it is a workbook, set the parameter format to xlsx."
        raise unreadable(what, "not_text", f"The file is {kind}, not CSV.", hint=hint)


def _utf16(head: bytes) -> str | None:
    """Which UTF-16 the bytes look like: mostly Western text has NUL in every second byte."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < len(head) / 4 or min(even, odd) > len(head) / 50:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _likely(data: bytes) -> str:
    """Encodings that might fit, for a hint."""
    utf16 = _utf16(data[:_SAMPLE])
    if utf16:
        return utf16
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "windows-1252" if _C1.search(data) else "windows-1252 or latin-1"
    return "utf-8"


def _misread(what: str, encoding: str, likely: str, *, offset: int, line: int) -> InvalidData:
    return unreadable(
        what,
        "wrong_encoding",
        f"The file is not {encoding}: byte {offset} does not fit.",
        line=line,
        hint=f"It looks like {likely}: set the parameter encoding, or save the file as UTF-8.",
    )


def _holds_nul(text: str, data: bytes, what: str) -> InvalidData:
    count, first = text.count("\x00"), text.index("\x00")
    utf16 = _utf16(data[:_SAMPLE])
    return unreadable(
        what,
        "nul_characters",
        f"The file holds {count} NUL characters.",
        line=1 + len(_LINE_END.findall(text, 0, first)),
        hint=f"It looks like {utf16}: set the parameter encoding." if utf16 else "Export it again as text.",
    )
