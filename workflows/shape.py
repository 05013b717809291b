"""Plain data into the model. What does not fit is reported and left out, and the rest is checked too."""

import copy
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kernel.errors import Fault
from workflows.document import Document, Pointer, at
from workflows.flow import nearest
from workflows.model import Workflow

_ROUNDS = 4
# The parts that can be left out whole while the rest still means something: a step, an input.
_UNIT_DEPTH = 2


def read_shape(document: Document) -> tuple[Workflow | None, list[str], list[Fault]]:
    """The workflow as far as it can be read, the keys of steps left out, and what is wrong."""
    if not isinstance(document.data, dict):
        fault = document.fault((), "not_a_mapping", "A definition is a mapping.", "Start with `workflow:`.")
        return None, [], [fault]
    data, faults, unread = copy.deepcopy(document.data), [], []
    for _ in range(_ROUNDS):
        try:
            return Workflow.model_validate(data), unread, faults
        except ValidationError as exc:
            errors = exc.errors()
            if not unread:
                faults += [_fault(error, document) for error in errors]
            unread += _prune(data, errors)
    return None, unread, faults


def _prune(data: dict[str, Any], errors: list[ErrorDetails]) -> list[str]:
    """Take out what the errors name: an unknown key alone, otherwise the step or input around it."""
    places = {_path(e) if e["type"] == "extra_forbidden" else _path(e)[:_UNIT_DEPTH] for e in errors}
    dropped = [str(step.get("key")) for step in _steps_at(data, places)]
    for path in sorted(places, key=lambda path: [str(part).zfill(6) for part in path], reverse=True):
        parent = at(data, path[:-1])
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
        elif isinstance(parent, list) and isinstance(path[-1], int) and path[-1] < len(parent):
            del parent[path[-1]]
    return dropped


def _steps_at(data: dict[str, Any], places: set[Pointer]) -> Iterator[dict[str, Any]]:
    for path in places:
        step = at(data, path) if len(path) == _UNIT_DEPTH and path[0] == "steps" else None
        if isinstance(step, dict):
            yield step


def _path(error: ErrorDetails) -> Pointer:
    return tuple("with" if part == "with_" else part for part in error["loc"] if part != "[key]")


def _fault(error: ErrorDetails, document: Document) -> Fault:
    path = _path(error)
    name = str(path[-1]) if path else ""
    if error["type"] == "extra_forbidden":
        hint = nearest(name, _known_keys(path[:-1]))
        return document.fault(path, "unknown_key", f"The key {name!r} means nothing here.", hint)
    if error["type"] == "missing":
        return document.fault(path, "missing_key", f"The key {name!r} is missing.", _missing_hint(path))
    said = error["msg"].removeprefix("Value error, ")
    return document.fault(path, "invalid_value", f"{said[0].upper()}{said[1:]}.")


def _missing_hint(path: Pointer) -> str:
    if path[-2:] == ("push", "key"):
        return "Name the columns that identify a record, so that it can never be posted twice."
    return "Add it."


def _known_keys(path: Pointer) -> list[str]:
    model: type[BaseModel] | None = Workflow
    for part in path:
        if model is None or isinstance(part, int):
            continue
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        model = _model_in(field.annotation) if field else None
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
