"""What earlier steps left, for the steps that come after them in another activity."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from store.runs import TaskRow
from workflows.context import StepOutput
from workflows.states import TaskState


def restored(
    saved: Mapping[str, StepOutput], tasks: Mapping[str, TaskRow], keys: Iterable[str]
) -> dict[str, StepOutput]:
    """Outputs of the steps of `keys` that are done: records from the sealed context, measures from the task
    rows."""
    outputs = {}
    for key in keys:
        task = tasks[key]
        if task.state is TaskState.SUCCEEDED:
            kept = saved.get(key, StepOutput())
            outputs[key] = StepOutput(dict(_accepted(task.measures or {})), kept.records, kept.sensitive)
    return outputs


def _accepted(measures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What expressions may read of stored measures: of accepted records, and what steps inside a dispatch or
    of a nested run have measured."""
    for name, parts in measures.items():
        if not isinstance(parts, Mapping):
            yield name, parts
        elif "total" in parts:
            total, rejected = Decimal(parts["total"]), Decimal(parts["rejected"])
            accepted = total - rejected
            yield name, int(accepted) if isinstance(parts["total"], int) else accepted
        elif "posted" not in parts:
            yield name, dict(_accepted(parts))
