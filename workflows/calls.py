"""Checks what steps ask of connected systems: connector, operation, parameters and columns."""

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError

from kernel.errors import Fault, SluiceError
from kernel.records import Column, ColumnKind
from kernel.verbs import Verb
from workflows.catalogue import OperationInfo
from workflows.document import Pointer, at, nearest
from workflows.expressions import fill, template_expressions
from workflows.model import Call, Push, Step
from workflows.scope import Columns, Scope


def read_faults(scope: Scope, call: Call, verb: Verb, path: Pointer) -> tuple[list[Fault], Columns | None]:
    """The faults of a call that reads, and the columns it yields when they can be known."""
    operation, found = _operation(scope, call, verb, path)
    if operation is None:
        return found, None
    parameters, wrong = _parameters(scope, call, operation, path)
    return found + wrong, None if parameters is None else operation.columns(parameters)


def push_faults(scope: Scope, step: Step, path: Pointer) -> Iterator[Fault]:
    """The faults of a call that writes an earlier step's records."""
    assert step.push is not None
    push = step.push
    operation, found = _operation(scope, push, Verb.PUSH, path)
    yield from found
    yield from scope.table_faults({push.records}, (*path, "records"))
    given = scope.columns.get(push.records)
    yield from key_faults(scope, push.key, push.records, given, path)
    if operation is not None:
        parameters, wrong = _parameters(scope, push, operation, path)
        yield from wrong
        if parameters is not None:
            yield from _fit(scope, push, given, operation.columns(parameters), path)


def key_faults(
    scope: Scope, key: list[str], of: str, columns: Columns | None, path: Pointer
) -> Iterator[Fault]:
    """Names in a `key` that are no columns of the records."""
    names = [column.name for column in columns or ()]
    for index, name in enumerate(key if columns is not None else ()):
        if name not in names:
            said = f"The records of {of!r} have no column {name!r}."
            yield scope.fault((*path, "key", index), "unknown_column", said, nearest(name, names))


def _fit(
    scope: Scope, push: Push, given: Columns | None, wanted: Columns | None, path: Pointer
) -> Iterator[Fault]:
    if given is None or wanted is None:
        return
    have = {column.name: column for column in given}
    for column in wanted:
        source = have.get(column.name)
        if source is None:
            said = f"{push.operation!r} needs a column {column.name!r}; the records have none."
            yield scope.fault((*path, "records"), "missing_column", said, "Add it to the SELECT.")
        elif not _fits(source, column):
            said = f"{column.name!r} is {source.type}; {push.operation!r} takes {column.type}."
            yield scope.fault((*path, "records"), "type_mismatch", said, "Cast it in the SELECT.")


def _fits(source: Column, target: Column) -> bool:
    pairs = {
        (ColumnKind.INTEGER, ColumnKind.DECIMAL),
        (ColumnKind.TIMESTAMP_TEXT, ColumnKind.TEXT),
        (ColumnKind.TEXT, ColumnKind.TIMESTAMP_TEXT),
    }
    return source.kind is target.kind or (source.kind, target.kind) in pairs


def _operation(
    scope: Scope, call: Call, verb: Verb, path: Pointer
) -> tuple[OperationInfo | None, list[Fault]]:
    connector, name = call.connector, call.operation
    known = list(scope.catalogue.connectors())
    if connector not in known:
        said = f"There is no connector {connector!r}."
        where = (*path, "connector")
        return None, [scope.fault(where, "unknown_connector", said, nearest(connector, known))]
    operations, where = scope.catalogue.operations(connector), (*path, "operation")
    if name not in operations:
        said = f"The connector {connector!r} has no operation {name!r}."
        return None, [scope.fault(where, "unknown_operation", said, nearest(name, list(operations)))]
    operation = operations[name]
    if operation.verb is not verb:
        said = f"{name!r} is for {operation.verb}, not for {verb}."
        return None, [scope.fault(where, "wrong_verb", said, f"Write `{operation.verb}:` instead.")]
    return operation, []


def _parameters(
    scope: Scope, call: Call, operation: OperationInfo, path: Pointer
) -> tuple[BaseModel | None, list[Fault]]:
    try:
        filled = fill(call.with_, {**scope.measures, **scope.values()})
    except SluiceError:
        return None, []  # the expression itself has been reported
    try:
        return operation.parameters.model_validate(filled), []
    except ValidationError as exc:
        found = []
        for error in exc.errors():
            loc: Pointer = (*path, "with", *error["loc"])
            if any(True for _ in template_expressions(at(scope.document.data, loc))):
                continue  # a sample stood in for the real value
            said = f"Parameter of {operation.name!r}: {error['msg'].removeprefix('Value error, ')}."
            found.append(scope.fault(loc, "invalid_parameter", said, "See the connector's catalogue."))
        return None, found
