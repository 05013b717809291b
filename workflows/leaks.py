"""Finds literals in definitions that look like credentials."""

import re
from collections.abc import Iterator
from typing import Any

from workflows.document import Pointer

_NAMES = re.compile(r"(?i)(pass(word|phrase|wd)?|secret|token|api_?key|credential|connection_?string)$")
_VALUES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[\w-]{10,}\.[\w-]{10,}\.|AccountKey=|SharedAccessSignature|[?&]sig=|"
    r"\bAKIA[0-9A-Z]{16}\b|(?i:\bbearer\s+[\w.~+/-]{16,})|://[^/\s:@]+:[^/\s@]+@|\bgh[pousr]_\w{30,}|\bsk-[\w-]{20,}"
)


def secret_literals(data: Any, path: Pointer = ()) -> Iterator[Pointer]:
    """Paths of texts that look like a credential, by their name or by their form."""
    if isinstance(data, dict):
        for name, child in data.items():
            named = isinstance(child, str) and _NAMES.search(name) and "${{" not in child and child.strip()
            if named:
                yield (*path, name)
            else:
                yield from secret_literals(child, (*path, name))
    elif isinstance(data, list):
        for index, child in enumerate(data):
            yield from secret_literals(child, (*path, index))
    elif isinstance(data, str) and _VALUES.search(data):
        yield path
