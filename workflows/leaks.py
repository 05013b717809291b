"""Finds literals in definitions that look like credentials."""

import re
from collections.abc import Iterator
from typing import Any

from workflows.document import Pointer

_NAMES = re.compile(
    r"(?i)(^|[_-])(pass(word|phrase|wd)?|secret|token|api[_-]?key|credentials?|connection[_-]?string)$"
)
# Looked for at the start of a word only: searching on from every letter would take a long text hours.
_VALUES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|(?<![\w-])eyJ[\w-]{10,}\.[\w-]{10,}\.|AccountKey=|SharedAccessSignature|"
    r"[?&]sig=|\bAKIA[0-9A-Z]{16}\b|(?i:\bbearer\s+(?=\S*\d)[\w.~+/-]{16,})|://[^/\s:@]+:[^/\s@]+@|"
    r"\bgh[pousr]_\w{30,}|(?<![\w-])sk-[\w-]{20,}"
)
# Maps whose names are the author's own columns and measures, and whose values are types and SQL.
_AUTHORS_OWN = frozenset({"columns", "measures", "reconcile"})


def secret_literals(data: Any, path: Pointer = ()) -> Iterator[Pointer]:
    """Paths of texts that look like a credential, by their name or by their form."""
    if isinstance(data, dict):
        owned = bool(path) and path[-1] in _AUTHORS_OWN
        for name, child in data.items():
            if not owned and _is_named_secret(name, child):
                yield (*path, name)
            else:
                yield from secret_literals(child, (*path, name))
    elif isinstance(data, list):
        for index, child in enumerate(data):
            yield from secret_literals(child, (*path, index))
    elif isinstance(data, str) and _VALUES.search(data):
        yield path


def _is_named_secret(name: str, value: Any) -> bool:
    literal = isinstance(value, str) and "${{" not in value and bool(value.strip())
    return literal and _NAMES.search(name) is not None
