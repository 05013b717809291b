"""Operation parameters whose names and types a connector's settings declare."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, create_model

from adapters.contract import Parameters
from adapters.faults import refused, validated
from kernel.errors import Fault
from kernel.records import Column, ColumnKind, Value
from kernel.timestamps import Unfit
from kernel.values import conform


class DeclaredParameters(Parameters):
    """Base of the parameters that an operation declares; their values never show in errors."""

    model_config = ConfigDict(hide_input_in_errors=True)


def _no_float(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError("a floating-point number is not exact; pass a decimal or a string.")
    return value


_TYPES: Mapping[ColumnKind, Any] = {
    ColumnKind.TEXT: str,
    ColumnKind.INTEGER: int,
    ColumnKind.DECIMAL: Annotated[Decimal, BeforeValidator(_no_float)],
    ColumnKind.BOOLEAN: bool,
    ColumnKind.DATE: date,
    ColumnKind.TIMESTAMP: AwareDatetime,
    ColumnKind.TIMESTAMP_TEXT: str,
}


def declared_parameters(operation: str, columns: tuple[Column, ...]) -> type[DeclaredParameters]:
    """The model of an operation's parameters, all of them required."""
    fields: dict[str, Any] = {column.name: (_TYPES[column.kind], ...) for column in columns}
    return create_model(f"{operation}_parameters", __base__=DeclaredParameters, **fields)


def typed_parameters(
    model: type[Parameters], columns: tuple[Column, ...], given: Mapping[str, Any], *, what: str
) -> dict[str, Value]:
    """The parameters as their declared types hold them; `model` is what `declared_parameters` made of the
    columns. Raises `InvalidRequest` with all faults."""
    parsed = validated(model, given, what=what)
    values: dict[str, Value] = {}
    faults = []
    for column in columns:
        try:
            values[column.name] = conform(getattr(parsed, column.name), column)
        except Unfit as exc:
            faults.append(
                Fault("unfit_parameter", f"{column.name} {exc.message}.", column.name, hint=exc.hint)
            )
    if faults:
        raise refused(what, faults)
    return values
