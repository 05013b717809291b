"""What the steps of one level may name, and whether what they name is there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernel.errors import Fault, SluiceError
from kernel.records import Column
from workflows.catalogue import Catalogue
from workflows.document import Document, Pointer, nearest
from workflows.expressions import Refusal, try_out, variables
from workflows.model import Step, Workflow
from workflows.references import CHUNK, RUN_NAMES
from workflows.samples import RUN_SAMPLE, SAMPLES, record_sample, with_whole_numbers
from workflows.shape import Shape
from workflows.sql import SqlEngine

type Columns = tuple[Column, ...]

UNKNOWN = Refusal("cannot be judged.", False)


@dataclass
class Scope:
    """State of the walk over one list of steps: those of the workflow, or those of a dispatch's chunks.

    `columns` has the tables so far and `about` the columns of what each step so far yields, both `None` for
    "not known before it runs"; `measures` what each step measures; `unjudged` names of which nothing can be
    said.
    """

    workflow: Workflow
    shape: Shape
    document: Document
    catalogue: Catalogue
    engine: SqlEngine
    steps: Sequence[Step]
    path: Pointer = ("steps",)
    columns: dict[str, Columns | None] = field(default_factory=dict)
    about: dict[str, Columns | None] = field(default_factory=dict)
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    unjudged: set[str] = field(default_factory=set)
    chunk: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self.columns.update(dict.fromkeys(self.shape.unread))
        self.unjudged |= self.shape.unread

    def inside(self, steps: Sequence[Step], path: Pointer, columns: Columns | None) -> "Scope":
        """The scope of a dispatch's chunks, whose records have these columns."""
        return Scope(
            self.workflow, self.shape, self.document, self.catalogue, self.engine, steps, path,
            columns={CHUNK: columns},
            measures=dict(self.measures),
            unjudged=self.unjudged | ({CHUNK} if columns is None else set()),
            chunk=record_sample(columns or ()),
        )  # fmt: skip

    @property
    def is_chunk(self) -> bool:
        """Whether these are steps of a dispatch."""
        return self.chunk is not None

    def placed(self) -> list[tuple[Pointer, Step]]:
        """The steps, each with its place in the document."""
        return self.shape.placed(self.steps, self.path)

    def keys(self) -> list[str]:
        """Keys of the steps of this level."""
        return [step.key for step in self.steps]

    def begin(self, key: str) -> None:
        """A step of this key comes now; what an earlier one of the same key left is forgotten."""
        self.about.pop(key, None)
        self.measures.pop(key, None)

    def put(self, key: str, columns: Columns | None) -> None:
        """A step yields records of these columns: a table from now on."""
        self.columns[key] = self.about[key] = columns

    def fault(self, path: Pointer, code: str, message: str, hint: str) -> Fault:
        """A fault placed at `path`."""
        return self.document.fault(path, code, message, hint)

    def relocated(self, fault: Fault, path: Pointer) -> Fault:
        """A fault of the SQL engine, placed at `path`."""
        return self.document.fault(path, fault.code, fault.message, fault.hint)

    # tables ----------------------------------------------------------------------------------------------

    def sql(self, sql: str, path: Pointer) -> tuple[list[Fault], Columns | None]:
        """The faults of a SELECT over earlier steps, and the columns it yields when they can be known."""
        statement = self.engine.analyse(sql)
        found = [self.relocated(fault, path) for fault in statement.faults]
        found += self.table_faults(set(statement.tables), path)
        tables = {name: self.columns.get(name) for name in statement.tables}
        known = {name: columns for name, columns in tables.items() if columns is not None}
        if found or len(known) < len(tables):
            return found, None
        try:
            return [], self.engine.describe(sql, known)
        except SluiceError as exc:
            return [self.relocated(fault, path) for fault in exc.faults], None

    def table_faults(self, names: set[str], path: Pointer) -> Iterator[Fault]:
        """Names that are no table here: no step, a later one, one without records or one elsewhere."""
        for name in sorted(names - set(self.columns)):
            own = next((step for step in self.steps if step.key == name), None)
            if own is not None:
                yield self._not_yet(own, path)
            elif any(step.key == name for step in self.workflow.all_steps()):
                yield self._elsewhere(name, path)
            else:
                said, hint = f"There is no step {name!r}.", nearest(name, sorted(self.columns))
                if name == CHUNK:
                    hint = "Only the steps of a dispatch have a chunk."
                yield self.fault(path, "unknown_step", said, hint)

    def _not_yet(self, step: Step, path: Pointer) -> Fault:
        if step.kind in ("dispatch", "run"):
            said = f"{step.key!r} is a {step.kind} step: it has totals, but no records to read."
            hint = f"Read its totals in an expression, as `steps.{step.key}`, or name another step."
            return self.fault(path, "not_a_table", said, hint)
        said = f"{step.key!r} is not an earlier step that yields records."
        return self.fault(path, "forward_reference", said, "Move the step, or name another.")

    def _elsewhere(self, name: str, path: Pointer) -> Fault:
        if self.is_chunk:
            said = f"{name!r} lies outside: a chunk sees only its own record and the steps of its own."
            hint = f"Select what a chunk needs into the dispatched records: they are `{CHUNK}` here."
            return self.fault(path, "outside_chunk", said, hint)
        said = f"{name!r} is a step of a dispatch: each chunk has records of its own."
        hint = f"Read its totals over all chunks in an expression, as `steps.<dispatch>.{name}`."
        return self.fault(path, "not_a_table", said, hint)

    # expressions -----------------------------------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        """Samples of what every expression may read."""
        inputs = {name: SAMPLES[given.type] for name, given in self.workflow.inputs.items()}
        names = {"inputs": inputs, "run": RUN_SAMPLE, "steps": self.measures, "environment": "sandbox"}
        assert set(names) == RUN_NAMES
        return names if self.chunk is None else {**names, CHUNK: self.chunk}

    def condition(self, text: str, values: Mapping[str, Any] | None, path: Pointer) -> Iterator[Fault]:
        """The faults of an expression that must be true or false; `values` are those besides `values()`."""
        faults, result = self.tried(text, values, path)
        yield from faults
        if not isinstance(result, bool | Refusal):
            said = f"The condition {text!r} gives {type(result).__name__}."
            hint = "Compare something: the result must be true or false."
            yield self.fault(path, "not_a_condition", said, hint)

    def expression(self, text: str, values: Mapping[str, Any] | None, path: Pointer) -> Iterator[Fault]:
        """The faults of an expression."""
        yield from self.tried(text, values, path)[0]

    def tried(
        self, text: str, values: Mapping[str, Any] | None, path: Pointer
    ) -> tuple[list[Fault], Any | Refusal]:
        """The faults of an expression, and its value over samples or why it has none."""
        try:
            names = variables(text)
        except SluiceError as exc:
            hint = "Expressions are CEL: https://cel.dev."
            return [self.fault(path, "expression_syntax", exc.message, hint)], UNKNOWN
        if values is None or names & self.unjudged:
            return [], UNKNOWN
        known = {**self.values(), **values}
        missing = sorted(names - set(known))
        if missing:
            said = "Nothing is called {!r} here."
            return [
                self.fault(path, "unknown_name", said.format(name), nearest(name, list(known)))
                for name in missing
            ], UNKNOWN
        result = _either(text, known)
        if isinstance(result, Refusal) and result.certain:
            said = f"The expression {text!r} {result.reason}"
            hint = "Compare it with what inputs, facts and measures are called and what types they have."
            return [self.fault(path, "expression_type", said, hint)], result
        return [], result


def _either(text: str, known: Mapping[str, Any]) -> Any | Refusal:
    """Numbers of unknown kind are tried both ways: one of them may fit."""
    result = try_out(text, known)
    if isinstance(result, Refusal) and result.certain:
        return try_out(text, with_whole_numbers(known))
    return result
