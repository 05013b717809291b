"""Turning what pydantic finds wrong with settings or parameters into faults."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from kernel.errors import Fault, InvalidRequest


def validated[M: BaseModel](model: type[M], data: Mapping[str, Any], *, what: str) -> M:
    """`data` as a `model`.

    Raises `InvalidRequest` with all faults; `what` names the data in its message, such as
    "settings of connector 'erp'". Values never appear: they may be credentials or record values.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as exc:
        raise refused(what, model_faults(exc)) from exc


def refused(what: str, faults: Sequence[Fault]) -> InvalidRequest:
    """The error for data with these faults."""
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return InvalidRequest(f"The {what} cannot be used: {count}.", faults=faults)


def model_faults(exc: ValidationError) -> list[Fault]:
    """One fault for each thing pydantic found, with dotted paths."""
    return [
        Fault(
            code=item["type"],
            message=f"{item['msg'].removeprefix('Value error, ').rstrip('.')}.",
            path=".".join(str(part) for part in item["loc"]),
        )
        for item in exc.errors(include_url=False, include_context=False, include_input=False)
    ]
