"""The operations that the connector settings describe. No I/O and no database driver."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adapters.contract import Idempotency, Operation
from adapters.datasource.sql.settings import (
    FetchSpec,
    LookupSpec,
    OperationSpec,
    PushSpec,
    ReadSpec,
    SqlSettings,
)
from adapters.faults import refused, validated
from adapters.parameters import declared_parameters
from kernel.errors import Fault
from kernel.records import Column, parse_columns
from kernel.verbs import Verb

PUSH_BATCH_SIZE = 1_000

_WHAT = "settings of a sql connector"
# The rule by which SQLAlchemy's text() finds parameters; it also looks inside string literals.
_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_READING = re.compile(r"[\s(]*(select|with|values|table)\b", re.IGNORECASE)


def parsed_settings(settings: Mapping[str, Any]) -> SqlSettings:
    """The settings. Raises `InvalidRequest` with all faults."""
    parsed = validated(SqlSettings, settings, what=_WHAT)
    faults = [
        fault
        for name, spec in parsed.operations.items()
        for fault in _OPERATION_FAULTS[type(spec)](f"operations.{name}", spec)
    ]
    if faults:
        raise refused(_WHAT, faults)
    return parsed


def operations(settings: SqlSettings) -> dict[str, Operation]:
    """The catalogue."""
    return {
        name: _operation(name, spec, settings.statement_timeout) for name, spec in settings.operations.items()
    }


def _operation(name: str, spec: OperationSpec, timeout: float) -> Operation:
    columns = parse_columns(spec.columns)
    if isinstance(spec, PushSpec):
        return Operation(
            name=name,
            verb=Verb.PUSH,
            summary=f"Adds rows to table {spec.push}, each at most once.",
            parameters=declared_parameters(name, ()),
            columns=_always(columns),
            idempotency=Idempotency.NATIVE,
            batch_size=PUSH_BATCH_SIZE,
            settles_seconds=timeout,
        )
    one = isinstance(spec, LookupSpec)
    return Operation(
        name=name,
        verb=Verb.LOOKUP if one else Verb.FETCH,
        summary="Looks up one record by a query." if one else "Reads the records of a query.",
        parameters=declared_parameters(name, parse_columns(spec.parameters)),
        columns=_always(columns),
    )


def _always(columns: tuple[Column, ...]) -> Callable[[Any], tuple[Column, ...]]:
    return lambda _parameters: columns


def _read_faults(path: str, spec: ReadSpec) -> Iterator[Fault]:
    bare = _QUOTED.sub(" ", spec.statement)
    if not _READING.match(bare):
        yield Fault(
            code="not_a_query", message="The statement does not begin with SELECT or WITH.", path=path
        )
    if ";" in bare:
        yield Fault(code="not_a_query", message="There is more than one statement.", path=path)
    used = set(_PARAMETER.findall(spec.statement))
    for name in sorted(used - set(spec.parameters)):
        yield Fault(
            code="undeclared_parameter",
            message=f"The statement uses :{name}, which parameters does not declare.",
            path=path,
            hint=f"Declare it as parameters: {{{name}: text}}, or write \\: for a plain colon.",
        )
    for name in sorted(set(spec.parameters) - used):
        yield Fault(
            code="unused_parameter",
            message=f"Parameter {name!r} is not used in the statement.",
            path=f"{path}.parameters.{name}",
            hint=f"Use it as :{name}, or remove it.",
        )
    for name in spec.order_by:
        if name.removeprefix("-") not in spec.columns:
            yield Fault(
                code="unknown_column",
                message=f"order_by names {name!r}, which is none of the columns.",
                path=f"{path}.order_by",
                hint=f"Use one of {', '.join(spec.columns)}.",
            )


def _push_faults(path: str, spec: PushSpec) -> Iterator[Fault]:
    for role, name in (("key_column", spec.key_column), ("id_column", spec.id_column)):
        if name in spec.columns:
            yield Fault(
                code="reserved_column",
                message=f"{role} {name!r} is also one of the columns.",
                path=f"{path}.{role}",
                hint="The adapter fills it itself; remove it from columns.",
            )


_OPERATION_FAULTS: Mapping[type, Callable[[str, Any], Iterator[Fault]]] = {
    FetchSpec: _read_faults,
    LookupSpec: _read_faults,
    PushSpec: _push_faults,
}
