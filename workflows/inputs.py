"""The values a run is started with."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from kernel.errors import Fault, InvalidRequest
from workflows.model import Input, Workflow


def check_inputs(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as they are stored, defaults filled in; `InvalidRequest` with all faults."""
    faults = [
        Fault("unknown_input", f"There is no input {name!r}.", path=f"inputs.{name}")
        for name in given
        if name not in workflow.inputs
    ]
    found: dict[str, Any] = {}
    for name, declared in workflow.inputs.items():
        value = given.get(name, declared.default)
        if value is None and declared.required:
            faults.append(Fault("missing_input", f"The input {name!r} is missing.", path=f"inputs.{name}"))
        elif value is not None and not is_of_type(declared, value):
            said = f"The input {name!r} must be a {declared.type}."
            faults.append(Fault("invalid_input", said, path=f"inputs.{name}", hint=_hint(declared)))
        else:
            found[name] = value
    if faults:
        raise InvalidRequest("The inputs do not fit the workflow.", faults=faults)
    return found


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
        return value
    if kind == "text" and isinstance(value, str):
        return value
    if kind == "date" and isinstance(value, str):
        return date.fromisoformat(value)
    if kind == "decimal" and isinstance(value, str | int) and not isinstance(value, bool):
        return _finite(value)
    raise ValueError(f"not a {kind}")


def _finite(value: str | int) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation as exc:
        raise ValueError("not a decimal") from exc
    if not number.is_finite():
        raise ValueError("not a finite decimal")
    return number


def _hint(declared: Input) -> str:
    hints = {"decimal": 'Write it as text, e.g. "50.00".', "date": "Write it as YYYY-MM-DD."}
    return hints.get(declared.type, "")
