"""Plain data into the model. What does not fit is reported and left out, and the rest is checked too."""

import copy
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from kernel.errors import Fault
from workflows.document import Document, Pointer, at, nearest
from workflows.model import Step, Workflow, WorkflowKey

_ROUNDS = 4
# The parts that can be left out whole while the rest still means something: a step, an input.
_UNIT_DEPTH = 2
# What pydantic puts into places besides the document's keys: the marks of keys and of a union's members.
_NOT_WRITTEN = frozenset({"[key]", "(key)", "(generator)"})
_SCHEMA_HINT = "The JSON Schema of definitions says what may stand here."


class _Rest(Workflow):
    """What is left of a definition when parts of it were left out: nothing is required any more."""

    workflow: WorkflowKey = "unread"
    steps: list[Step] = Field(default_factory=list)


@dataclass
class Shape:
    """What could be read: `positions` are step indexes in the document.

    `unread` has the names that cannot be judged because they were left out: keys of steps, and `steps` or
    `inputs` when any of them is missing.
    """

    workflow: Workflow | None = None
    positions: list[int] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)


def read_shape(document: Document) -> Shape:
    """Read as much of the document as fits the model."""
    shape = Shape()
    if not isinstance(document.data, dict):
        shape.faults.append(
            document.fault((), "not_a_mapping", "A definition is a mapping.", "Start with `workflow:`.")
        )
        return shape
    data = copy.deepcopy(document.data)
    steps = data.get("steps")
    shape.positions = list(range(len(steps))) if isinstance(steps, list) else []
    model: type[Workflow] = Workflow
    for _ in range(_ROUNDS):
        try:
            shape.workflow = model.model_validate(data)
            break
        except ValidationError as exc:
            _report(exc.errors(), shape, document)
            _prune(data, exc.errors(), shape)
            model = _Rest
    return shape


def _report(errors: list[ErrorDetails], shape: Shape, document: Document) -> None:
    """One fault for each place and code: pydantic tries every alternative of a union."""
    seen = {(fault.path, fault.code) for fault in shape.faults}
    misspelt = {fault.path.rpartition(".")[0] for fault in shape.faults if fault.code == "unknown_key"}
    for error in errors:
        fault = _fault(_original(_path(error), shape.positions), error, document)
        follows = error["type"] == "no_verb" and fault.path in misspelt
        if (fault.path, fault.code) not in seen and not follows:
            shape.faults.append(fault)
            seen.add((fault.path, fault.code))


def _original(path: Pointer, positions: list[int]) -> Pointer:
    if len(path) > 1 and path[0] == "steps" and isinstance(path[1], int):
        return ("steps", positions[path[1]], *path[2:])
    return path


def _prune(data: dict[str, Any], errors: list[ErrorDetails], shape: Shape) -> None:
    """Take out what the errors name: an unknown key alone, otherwise the step or input around it."""
    places = {_path(e) if e["type"] == "extra_forbidden" else _path(e)[:_UNIT_DEPTH] for e in errors}
    for path in sorted(places, key=lambda path: [str(part).zfill(6) for part in path], reverse=True):
        parent = at(data, path[:-1])
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
        elif isinstance(parent, list) and isinstance(path[-1], int) and path[-1] < len(parent):
            dropped = parent.pop(path[-1])
            shape.positions.pop(path[-1])
            if isinstance(dropped, dict) and "key" in dropped:
                shape.unread.add(str(dropped["key"]))
        if len(path) <= _UNIT_DEPTH:
            shape.unread |= {"steps", "inputs"} & {path[0]}


def _path(error: ErrorDetails) -> Pointer:
    return tuple("with" if part == "with_" else part for part in error["loc"] if part not in _NOT_WRITTEN)


def _fault(path: Pointer, error: ErrorDetails, document: Document) -> Fault:
    name = str(path[-1]) if path else ""
    if error["type"] == "extra_forbidden":
        hint = nearest(name, _known_keys(path[:-1]))
        return document.fault(path, "unknown_key", f"The key {name!r} means nothing here.", hint)
    if error["type"] == "missing":
        return document.fault(path, "missing_key", f"The key {name!r} is missing.", _missing_hint(path))
    return document.fault(_in_document(path, document), "invalid_value", f"{error['msg']}.", _SCHEMA_HINT)


def _in_document(path: Pointer, document: Document) -> Pointer:
    """The path without what only the model has: the names of a union's alternatives."""
    while path and path not in document.lines:
        path = path[:-1]
    return path


def _missing_hint(path: Pointer) -> str:
    if path[-2:] == ("push", "key"):
        return "Name the columns that identify a record, so that it can never be posted twice."
    return "Add it."


def _known_keys(path: Pointer) -> list[str]:
    model: type[BaseModel] | None = Workflow
    named_freely = False
    for part in path:
        if model is None or isinstance(part, int) or named_freely:
            named_freely = False
            continue
        found = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        model = _model_in(found.annotation) if found else None
        named_freely = found is not None and get_origin(found.annotation) is dict
    if model is None:
        return []
    return [known.alias or name for name, known in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
