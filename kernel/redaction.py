"""The one point at which credentials and values of sensitive fields are taken out of what leaves a step.

Our own texts never quote values; those of connected systems may say anything, so they are searched for what
must not be in them.
"""

import base64
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus

from kernel.errors import Fault, SluiceError

REDACTED = "[redacted]"

_SHORTEST = 2
"""A value of one character is not searched for: it would be found everywhere, and tells nothing."""
_SHORTEST_INSIDE = 4
"""A credential that is shorter is only taken out where it stands as a word."""
_NAMED = re.compile(r"(?:key|signature|sig|password|passwd|pwd|secret|token)=([^;&\s]+)", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"://[^/:@\s]*:([^@/\s]+)@")
_SCHEME = re.compile(r"\b(bearer|basic|token|apikey)(\s+|%20)[\w.~+/=-]{6,}", re.IGNORECASE | re.ASCII)


def redact_fault(fault: Fault, sensitive: Iterable[str]) -> Fault:
    """The fault without its value when its field is sensitive, or when nobody said which field it is."""
    if fault.value is None or (fault.field is not None and fault.field not in set(sensitive)):
        return fault
    return replace(fault, value=REDACTED)


def redact_error(error: SluiceError, sensitive: Iterable[str]) -> SluiceError:
    """The error with redacted faults."""
    return error.with_faults([redact_fault(fault, sensitive) for fault in error.faults])


def redact_record(record: Mapping[str, Any], sensitive: Iterable[str]) -> dict[str, Any]:
    """The record with sensitive values replaced."""
    hidden = set(sensitive)
    return {name: REDACTED if name in hidden else value for name, value in record.items()}


class Scrubber:
    """Takes credentials, in every form in which a system may repeat them, and values out of texts. Values are
    found as whole words, in capitals or not."""

    def __init__(self, credentials: Iterable[str], values: Iterable[Any] = ()) -> None:
        forms = {form for credential in credentials for form in _credential_forms(credential)}
        inside = {form for form in forms if len(form) >= _SHORTEST_INSIDE}
        self._credentials = sorted(inside, key=len, reverse=True)
        words = {form for value in values for form in _value_forms(value)} | (forms - inside)
        self._words = [(word.casefold(), word) for word in words if len(word) >= _SHORTEST]

    def text(self, text: str) -> str:
        """The text without what must not be in it."""
        for form in self._credentials:
            text = text.replace(form, REDACTED)
        text = _SCHEME.sub(rf"\1 {REDACTED}", text)
        folded = text.casefold()
        found = sorted((word for fold, word in self._words if fold in folded), key=len, reverse=True)
        if not found:
            return text
        words = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, found))})(?!\w)", re.IGNORECASE)
        return words.sub(REDACTED, text)

    def error[E: SluiceError](self, error: E) -> E:
        """The error with clean texts."""
        faults = [self._fault(fault) for fault in error.faults]
        return type(error)(self.text(error.message), faults=faults, retry_after=error.retry_after)

    def _fault(self, fault: Fault) -> Fault:
        return replace(
            fault,
            message=self.text(fault.message),
            hint=self.text(fault.hint),
            path=self.text(fault.path),
            value=None if fault.value is None else self.text(fault.value),
        )


def _credential_forms(credential: str) -> Iterator[str]:
    """The credential and the secret parts of a connection string or address, as texts repeat them."""
    for part in (credential, *_NAMED.findall(credential), *_IN_ADDRESS.findall(credential)):
        yield from (part, quote(part, safe=""), quote_plus(part), json.dumps(part)[1:-1])
        yield base64.b64encode(part.encode()).decode().rstrip("=")


def _value_forms(value: Any) -> Iterator[str]:
    """How a system may write a value back."""
    if value is None or isinstance(value, bool):
        return
    yield str(value)
    if isinstance(value, str):
        yield from (value.strip(), json.dumps(value)[1:-1])
        yield from (unicodedata.normalize(form, value) for form in ("NFC", "NFD"))
    elif isinstance(value, Decimal):
        yield from (format(value, "f"), format(value.normalize(), "f"), f"{value:,f}")
    elif isinstance(value, int):
        yield f"{value:,}"
    elif isinstance(value, date):
        yield value.isoformat()
