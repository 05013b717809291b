"""What a system says about a failure, made fit to be shown: short, no credentials, no record values."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from adapters.datasource.rest.templates import text_of
from kernel.records import Value
from kernel.redaction import REDACTED

LONGEST_TEXT = 200

_CREDENTIAL = re.compile(r"\b(bearer|basic|token|apikey)\s+[\w.~+/=-]{6,}", re.IGNORECASE | re.ASCII)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\U0010ffff]+")
_SHORTEST_VALUE = 2


def plain_text(found: Any) -> str:
    """The text of an error message that may be a list of messages; objects are dropped."""
    if isinstance(found, list):
        return "; ".join(filter(None, map(plain_text, found)))
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def scrubbed(text: str, secrets: Iterable[str], values: Mapping[str, Value] | None = None) -> str:
    """The text without the secrets, with the names of record values instead of them, in one short line."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in (secret, quote(secret, safe="")):
            text = text.replace(form, REDACTED)
    text = _CREDENTIAL.sub(rf"\1 {REDACTED}", text)
    text = _without_values(text, values or {})
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _without_values(text: str, values: Mapping[str, Value]) -> str:
    names = {
        form: name for name, value in values.items() for form in _forms(value) if len(form) >= _SHORTEST_VALUE
    }
    if not names:
        return text
    longest_first = sorted(names, key=len, reverse=True)
    found = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    return found.sub(lambda match: f"[{names[match[0]]}]", text)


def _forms(value: Value) -> set[str]:
    """How a system may write the value back."""
    if value is None or isinstance(value, bool):
        return set()
    return {str(value), text_of(value)}
