"""The one point at which values of sensitive fields are taken out of what leaves a step."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kernel.errors import Fault, SluiceError

REDACTED = "[redacted]"


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
