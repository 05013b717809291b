"""PipelineContext: the step outputs of one run (or one chunk), in memory only."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from kernel.records import Records


@dataclass
class StepOutput:
    """What a step left behind: accepted records (if it yields any) and its measures."""

    measures: dict[str, Any] = field(default_factory=dict)
    records: Records | None = None
    sensitive: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"StepOutput({self.records!r}, measures {sorted(self.measures)})"


class PipelineContext:
    """Step outputs by key. Refuses pickling and JSON, prints shapes only, and is closed at the end."""

    def __init__(self, outputs: Mapping[str, StepOutput] | None = None) -> None:
        self._outputs: dict[str, StepOutput] = dict(outputs or {})
        self._closed = False

    def put(self, key: str, output: StepOutput) -> None:
        """Record a step's output."""
        self._check_open()
        self._outputs[key] = output

    def output(self, key: str) -> StepOutput:
        """A step's output; `KeyError` when it has none (not run, or skipped)."""
        self._check_open()
        return self._outputs[key]

    def tables(self, keys: frozenset[str]) -> dict[str, Records]:
        """The records of these steps, for SQL."""
        self._check_open()
        found = {key: self._outputs[key].records for key in sorted(keys) if key in self._outputs}
        return {key: records for key, records in found.items() if records is not None}

    def measures(self) -> dict[str, dict[str, Any]]:
        """Every step's measures, for expressions."""
        self._check_open()
        return {key: dict(output.measures) for key, output in self._outputs.items()}

    def outputs(self) -> dict[str, StepOutput]:
        """All outputs by step key."""
        self._check_open()
        return dict(self._outputs)

    def close(self) -> None:
        """Drop everything; any later use is an error."""
        self._outputs.clear()
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("This pipeline context is closed.")

    def __repr__(self) -> str:
        return f"PipelineContext({self._outputs!r})"

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("A PipelineContext stays in memory; it cannot be serialised.")


@contextmanager
def pipeline_context(outputs: Mapping[str, StepOutput] | None = None) -> Iterator[PipelineContext]:
    """A context that is closed at the end, whatever happens."""
    context = PipelineContext(outputs)
    try:
        yield context
    finally:
        context.close()
