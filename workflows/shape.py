"""Plain data into the model. What does not fit is reported and left out, and the rest is checked too."""

import copy
from collections.abc import Sequence
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
_INSIDE = ("dispatch", "steps")
_UNIT_DEPTH_INSIDE = _UNIT_DEPTH + len(_INSIDE) + 1
# What pydantic puts into places besides the document's keys: the marks of keys and of a union's members.
_NOT_WRITTEN = frozenset({"[key]", "(key)", "(generator)", "(deny)", "(approve)"})
_SCHEMA_HINT = "The JSON Schema of definitions says what may stand here."


class _Rest(Workflow):
    """What is left of a definition when parts of it were left out: nothing is required any more."""

    workflow: WorkflowKey = "unread"
    steps: list[Step] = Field(default_factory=list)


@dataclass
class Shape:
    """What could be read. `positions` has, for each list of steps, their indexes in the document.

    `unread` has the names that cannot be judged because they were left out: keys of steps, of dispatches with
    such steps, and `steps` or `inputs` when any of them is missing.
    """

    workflow: Workflow | None = None
    positions: dict[Pointer, list[int]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)

    def placed(self, steps: Sequence[Step], path: Pointer = ("steps",)) -> list[tuple[Pointer, Step]]:
        """The steps of the list at `path`, each with its own place in the document."""
        indexes = self.positions.get(path, range(len(steps)))
        return [((*path, index), step) for index, step in zip(indexes, steps, strict=True)]

    def all_placed(self) -> list[tuple[Pointer, Step]]:
        """Every step of the workflow with its place; those of a dispatch follow it."""
        found = []
        for path, step in self.placed(self.workflow.steps if self.workflow else ()):
            inside = self.placed(step.dispatch.steps, (*path, *_INSIDE)) if step.dispatch else []
            found += [(path, step), *inside]
        return found


def read_shape(document: Document) -> Shape:
    """Read as much of the document as fits the model."""
    shape = Shape()
    if not isinstance(document.data, dict):
        shape.faults.append(
            document.fault((), "not_a_mapping", "A definition is a mapping.", "Start with `workflow:`.")
        )
        return shape
    data = copy.deepcopy(document.data)
    shape.positions = _positions(data)
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


def _positions(data: dict[str, Any]) -> dict[Pointer, list[int]]:
    """The indexes of all lists of steps before anything is left out."""
    found: dict[Pointer, list[int]] = {}
    top = data.get("steps")
    for index in range(len(top)) if isinstance(top, list) else ():
        inner = at(top, (index, *_INSIDE))
        if isinstance(inner, list):
            found["steps", index, *_INSIDE] = list(range(len(inner)))
    return found | {("steps",): list(range(len(top)))} if isinstance(top, list) else found


def _report(errors: list[ErrorDetails], shape: Shape, document: Document) -> None:
    """One fault for each place and code: pydantic tries every alternative of a union."""
    seen = {(fault.path, fault.code) for fault in shape.faults}
    misspelt = {fault.path.rpartition(".")[0] for fault in shape.faults if fault.code == "unknown_key"}
    for error in errors:
        fault = _fault(_original(_path(error), shape.positions), error, document)
        follows = error["type"] in ("no_verb", "no_body") and fault.path in misspelt
        if (fault.path, fault.code) not in seen and not follows:
            shape.faults.append(fault)
            seen.add((fault.path, fault.code))


def _original(path: Pointer, positions: dict[Pointer, list[int]]) -> Pointer:
    """The path in the document of a path in what is left of it."""
    for depth in (_UNIT_DEPTH, _UNIT_DEPTH_INSIDE):
        indexes = positions.get(path[: depth - 1])
        if indexes is None or len(path) < depth or not isinstance(index := path[depth - 1], int):
            return path
        path = (*path[: depth - 1], indexes[index], *path[depth:])
    return path


def _prune(data: dict[str, Any], errors: list[ErrorDetails], shape: Shape) -> None:
    """Take out what the errors name: an unknown key alone, otherwise the step or input around it."""
    places = {_path(e) if e["type"] == "extra_forbidden" else _unit(_path(e)) for e in errors}
    for path in sorted(places, key=lambda path: [str(part).zfill(6) for part in path], reverse=True):
        parent = at(data, path[:-1])
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
        elif isinstance(parent, list) and isinstance(path[-1], int) and path[-1] < len(parent):
            _drop(data, path, shape)
        if len(path) <= _UNIT_DEPTH:
            shape.unread |= {"steps", "inputs"} & {path[0]}
    for index in reversed(range(len(shape.positions.get(("steps",), ())))):
        if at(data, ("steps", index, *_INSIDE)) == []:
            _drop(data, ("steps", index), shape)


def _unit(path: Pointer) -> Pointer:
    inside = path[_UNIT_DEPTH : _UNIT_DEPTH_INSIDE - 1] == _INSIDE and len(path) >= _UNIT_DEPTH_INSIDE
    return path[: _UNIT_DEPTH_INSIDE if inside else _UNIT_DEPTH]


def _drop(data: dict[str, Any], path: Pointer, shape: Shape) -> None:
    """Take out a step. What a dispatch measures is not whole any more when one of its steps is missing."""
    dropped = at(data, path[:-1]).pop(path[-1])
    shape.positions[_original(path[:-1], shape.positions)].pop(int(path[-1]))
    shape.unread.add("steps")
    for step in (dropped, at(data, path[:_UNIT_DEPTH]) if len(path) > _UNIT_DEPTH else None):
        if isinstance(step, dict) and "key" in step:
            shape.unread.add(str(step["key"]))


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
