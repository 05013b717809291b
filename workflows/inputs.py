"""The values a run is started with."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from kernel.errors import Fault, InvalidRequest
from workflows.document import nearest
from workflows.expressions import fill
from workflows.model import Input, InputType, Workflow
from workflows.rows import plain

# What a DECIMAL(38,10) column holds, so that an input can be compared and computed with in SQL.
_DECIMAL = re.compile(r"[-+]?\d{1,28}(\.\d{1,10})?", re.ASCII)
_LEAST_INTEGER = -(2**63)
INPUT_HINTS: Mapping[InputType, str] = {
    "text": "Give text; U+0000 and halves of surrogate pairs cannot be stored.",
    "integer": "Give a whole number of at most 64 bits.",
    "decimal": 'Write it as text, e.g. "50.00", with at most 28 digits before the point and 10 after it.',
    "boolean": "Give true or false.",
    "date": "Write it as YYYY-MM-DD.",
}


def check_inputs(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as they are stored, defaults filled in; `InvalidRequest` with all faults."""
    faults = [
        Fault(
            "unknown_input",
            f"There is no input {name!r}.",
            path=f"inputs.{name}",
            hint=nearest(name, list(workflow.inputs)),
        )
        for name in given
        if name not in workflow.inputs
    ]
    found: dict[str, Any] = {}
    for name, declared in workflow.inputs.items():
        value = given.get(name, declared.default)
        if value is None and declared.required:
            said = f"The input {name!r} is missing."
            faults.append(Fault("missing_input", said, f"inputs.{name}", hint=INPUT_HINTS[declared.type]))
        elif value is not None and not is_of_type(declared, value):
            said = f"The input {name!r} must be a {declared.type}."
            faults.append(Fault("invalid_input", said, f"inputs.{name}", hint=INPUT_HINTS[declared.type]))
        else:
            found[name] = value
    if faults:
        raise InvalidRequest("The inputs do not fit the workflow.", faults=faults)
    return found


def child_inputs(child: Workflow, given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that a step gives to a nested workflow, as they are stored; `values` are for expressions.

    Raises as `check_inputs` does, and `InvalidData` when an expression has no value.
    """
    return check_inputs(child, {name: plain(fill(value, values)) for name, value in given.items()})


def parse_inputs(workflow: Workflow, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored inputs in their Python types; inputs that were not given are `None`."""
    return {
        name: None if stored.get(name) is None else parse_input(declared.type, stored[name])
        for name, declared in workflow.inputs.items()
    }


def is_of_type(declared: Input, value: Any) -> bool:
    """Whether a value, as JSON has it, is of the input's type."""
    try:
        parse_input(declared.type, value)
    except ValueError:
        return False
    return True


def parse_input(kind: str, value: Any) -> Any:
    """An input's value in its Python type; `ValueError` when it is not. Floats are never money."""
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "integer" and isinstance(value, int) and not isinstance(value, bool):
        return _sized(value)
    if kind == "text" and isinstance(value, str):
        return _storable(value)
    if kind == "date" and isinstance(value, str):
        return date.fromisoformat(value)
    if kind == "decimal" and isinstance(value, str | int) and not isinstance(value, bool):
        return _decimal(str(value))
    raise ValueError(f"not a {kind}")


def _sized(value: int) -> int:
    if not _LEAST_INTEGER <= value < -_LEAST_INTEGER:
        raise ValueError("not an integer of 64 bits")
    return value


def _storable(value: str) -> str:
    """The text, unless it has what PostgreSQL cannot store: U+0000 or half of a surrogate pair."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("not storable text")
    return value


def _decimal(text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("not a decimal")
    return Decimal(text)
