"""Follows columns and measures through the steps and reports what cannot fit."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ValidationError

from kernel.errors import Fault, SluiceError
from kernel.records import Column, ColumnKind
from kernel.verbs import Verb
from workflows.catalogue import Catalogue, OperationInfo
from workflows.document import Document, Pointer, at, nearest
from workflows.expressions import Refusal, fill, template_expressions, try_out, variables
from workflows.model import Call, Step, Workflow
from workflows.objects import ObjectType
from workflows.references import RUN_NAMES, expressions
from workflows.shape import Shape
from workflows.sql import SqlEngine

type Columns = tuple[Column, ...]

_SAMPLES: Mapping[str, Any] = {
    "text": "a", "integer": 1, "decimal": Decimal("1.5"), "boolean": True, "date": "2020-01-01",
    "timestamp": "2020-01-01T00:00:00+00:00", "timestamp_text": "2020-01-01T00:00:00+00:00",
}  # fmt: skip
_RUN_SAMPLE = {
    "id": "a",
    "workflow": "a",
    "version": "a",
    "requested_by": "a",
    "created_at": "2020-01-01T00:00:00Z",
}


_UNKNOWN = Refusal("cannot be judged.", False)


@dataclass
class Flow:
    """State of the walk: what each step so far yields. `None` columns mean "not known before it runs"."""

    workflow: Workflow
    shape: Shape
    document: Document
    catalogue: Catalogue
    engine: SqlEngine
    columns: dict[str, Columns | None] = field(default_factory=dict)
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)

    def faults(self) -> Iterator[Fault]:
        """Walk the steps in order and yield every fault."""
        self.columns.update(dict.fromkeys(self.shape.unread))
        for index, step in zip(self.shape.positions, self.workflow.steps, strict=True):
            here: Pointer = ("steps", index)
            yield from self._expression_faults(step, here)
            yield from self._verb_check(step)(step, (*here, str(step.verb)))
            yield from self._declaration_faults(step, here)

    def _verb_check(self, step: Step) -> Callable[[Step, Pointer], Iterator[Fault]]:
        checks = {
            Verb.FETCH: self._read,
            Verb.LOOKUP: self._read,
            Verb.PUSH: self._push,
            Verb.TRANSFORM: self._transform,
            Verb.GOVERN: self._govern,
            Verb.LOGIC_GATE: self._logic_gate,
        }
        return checks[step.verb]

    # calls -----------------------------------------------------------------------------------------------

    def _read(self, step: Step, path: Pointer) -> Iterator[Fault]:
        operation, found = self._operation(step, path)
        yield from found
        self.columns[step.key] = None
        if operation is not None and step.call is not None:
            parameters, wrong = self._parameters(step.call, operation, path)
            yield from wrong
            if parameters is not None:
                self.columns[step.key] = operation.columns(parameters)

    def _push(self, step: Step, path: Pointer) -> Iterator[Fault]:
        assert step.push is not None
        push = step.push
        operation, found = self._operation(step, path)
        yield from found
        yield from self._table_faults({push.records}, (*path, "records"))
        given = self.columns.get(push.records)
        if given is not None:
            names = [column.name for column in given]
            for index, name in enumerate(push.key):
                if name not in names:
                    said = f"The records of {push.records!r} have no column {name!r}."
                    yield self.document.fault(
                        (*path, "key", index), "unknown_column", said, nearest(name, names)
                    )
        if operation is not None:
            parameters, wrong = self._parameters(push, operation, path)
            yield from wrong
            if parameters is not None:
                yield from self._fit(given, operation.columns(parameters), step, path)

    def _fit(
        self, given: Columns | None, wanted: Columns | None, step: Step, path: Pointer
    ) -> Iterator[Fault]:
        if given is None or wanted is None or step.push is None:
            return
        have = {column.name: column for column in given}
        for column in wanted:
            source = have.get(column.name)
            if source is None:
                said = f"{step.push.operation!r} needs a column {column.name!r}; the records have none."
                yield self.document.fault((*path, "records"), "missing_column", said, "Add it to the SELECT.")
            elif not _fits(source, column):
                said = f"{column.name!r} is {source.type}; {step.push.operation!r} takes {column.type}."
                yield self.document.fault((*path, "records"), "type_mismatch", said, "Cast it in the SELECT.")

    def _operation(self, step: Step, path: Pointer) -> tuple[OperationInfo | None, list[Fault]]:
        assert step.call is not None
        connector, name = step.call.connector, step.call.operation
        known = list(self.catalogue.connectors())
        if connector not in known:
            said = f"There is no connector {connector!r}."
            return None, [
                self.document.fault(
                    (*path, "connector"), "unknown_connector", said, nearest(connector, known)
                )
            ]
        operations = self.catalogue.operations(connector)
        where = (*path, "operation")
        if name not in operations:
            said = f"The connector {connector!r} has no operation {name!r}."
            return None, [
                self.document.fault(where, "unknown_operation", said, nearest(name, list(operations)))
            ]
        operation = operations[name]
        if operation.verb is not step.verb:
            said = f"{name!r} is for {operation.verb}, not for {step.verb}."
            return None, [
                self.document.fault(where, "wrong_verb", said, f"Write `{operation.verb}:` instead.")
            ]
        return operation, []

    def _parameters(
        self, call: Call, operation: OperationInfo, path: Pointer
    ) -> tuple[BaseModel | None, list[Fault]]:
        try:
            filled = fill(call.with_, self._run_values())
        except SluiceError:
            return None, []  # the expression itself has been reported
        try:
            return operation.parameters.model_validate(filled), []
        except ValidationError as exc:
            found = []
            for error in exc.errors():
                loc: Pointer = (*path, "with", *error["loc"])
                if any(True for _ in template_expressions(at(self.document.data, loc))):
                    continue  # a sample stood in for the real value
                said = f"Parameter of {operation.name!r}: {error['msg'].removeprefix('Value error, ')}."
                found.append(
                    self.document.fault(loc, "invalid_parameter", said, "See the connector's catalogue.")
                )
            return None, found

    # SQL -------------------------------------------------------------------------------------------------

    def _transform(self, step: Step, path: Pointer) -> Iterator[Fault]:
        assert step.transform is not None
        self.columns[step.key] = None
        found, columns = self._sql(step.transform.sql, (*path, "sql"))
        yield from found
        self.columns[step.key] = columns

    def _govern(self, step: Step, path: Pointer) -> Iterator[Fault]:
        assert step.govern is not None
        found, columns = self._sql(step.govern.facts, (*path, "facts"))
        yield from found
        facts = None if columns is None else {column.name: _SAMPLES[column.kind] for column in columns}
        for index, rule in enumerate(step.govern.rules):
            here = (*path, "rules", index)
            yield from self._condition(rule.deny, facts, (*here, "deny"))
            for text in template_expressions(rule.because):
                yield from self._expression(text, facts, (*here, "because"))

    def _sql(self, sql: str, path: Pointer) -> tuple[list[Fault], Columns | None]:
        statement = self.engine.analyse(sql)
        found = [self._placed(fault, path) for fault in statement.faults]
        found += self._table_faults(set(statement.tables), path)
        tables = {name: self.columns.get(name) for name in statement.tables}
        known = {name: columns for name, columns in tables.items() if columns is not None}
        if found or len(known) < len(tables):
            return found, None
        try:
            return [], self.engine.describe(sql, known)
        except SluiceError as exc:
            return [self._placed(fault, path) for fault in exc.faults], None

    def _table_faults(self, names: set[str], path: Pointer) -> list[Fault]:
        keys = [step.key for step in self.workflow.steps]
        found = []
        for name in sorted(names - set(self.columns)):
            if name in keys:
                said, hint = (
                    f"{name!r} is not an earlier step that yields records.",
                    "Move the step, or name another.",
                )
                found.append(self.document.fault(path, "forward_reference", said, hint))
            else:
                said, hint = f"There is no step {name!r}.", nearest(name, sorted(self.columns))
                found.append(self.document.fault(path, "unknown_step", said, hint))
        return found

    # expressions -----------------------------------------------------------------------------------------

    def _logic_gate(self, step: Step, path: Pointer) -> Iterator[Fault]:
        assert step.logic_gate is not None
        target = step.logic_gate.otherwise
        keys = [other.key for other in self.workflow.steps]
        later = keys[keys.index(step.key) + 1 :]
        if target != "end" and target not in later and target not in self.shape.unread:
            code = "backward_reference" if target in keys else "unknown_step"
            said = f"`otherwise` names {target!r}, which is not a later step."
            yield self.document.fault(
                (*path, "otherwise"), code, said, "Use `end` or the key of a later step."
            )

    def _expression_faults(self, step: Step, here: Pointer) -> Iterator[Fault]:
        for part, text in expressions(step):
            path = (*here, *part.split("."))
            check = self._condition if step.logic_gate else self._expression
            yield from check(text, self.measures, path)

    def _condition(self, text: str, values: Mapping[str, Any] | None, path: Pointer) -> Iterator[Fault]:
        faults, result = self._tried(text, values, path)
        yield from faults
        if not isinstance(result, bool | Refusal):
            said = f"The condition {text!r} gives {type(result).__name__}."
            hint = "Compare something: the result must be true or false."
            yield self.document.fault(path, "not_a_condition", said, hint)

    def _expression(self, text: str, values: Mapping[str, Any] | None, path: Pointer) -> Iterator[Fault]:
        yield from self._tried(text, values, path)[0]

    def _tried(
        self, text: str, values: Mapping[str, Any] | None, path: Pointer
    ) -> tuple[list[Fault], Any | Refusal]:
        """The faults of an expression, and its value over samples or why it has none."""
        try:
            names = variables(text)
        except SluiceError as exc:
            hint = "Expressions are CEL: https://cel.dev."
            return [self.document.fault(path, "expression_syntax", exc.message, hint)], _UNKNOWN
        if values is None or names & self.shape.unread:
            return [], _UNKNOWN
        known = {**self._run_values(), **values}
        missing = sorted(names - set(known))
        if missing:
            said = "Nothing is called {!r} here."
            return [
                self.document.fault(path, "unknown_name", said.format(name), nearest(name, list(known)))
                for name in missing
            ], _UNKNOWN
        result = try_out(text, known)
        if isinstance(result, Refusal) and result.certain:
            said = f"The expression {text!r} {result.reason}"
            hint = "Compare it with what inputs, facts and measures are called and what types they have."
            return [self.document.fault(path, "expression_type", said, hint)], result
        return [], result

    def _run_values(self) -> dict[str, Any]:
        inputs = {name: _SAMPLES[given.type] for name, given in self.workflow.inputs.items()}
        names = {"inputs": inputs, "run": _RUN_SAMPLE, "steps": self.measures, "environment": "sandbox"}
        assert set(names) == RUN_NAMES
        return names

    # declarations ----------------------------------------------------------------------------------------

    def _declaration_faults(self, step: Step, here: Pointer) -> Iterator[Fault]:
        columns = self.columns.get(step.key)
        yield from self._measure_faults(step, columns, here)
        yield from self._reconcile_faults(step, here)
        names = None if columns is None else [column.name for column in columns]
        for index, name in enumerate(step.sensitive):
            if names is not None and name not in names:
                said = f"There is no column {name!r} to keep secret."
                yield self.document.fault(
                    (*here, "sensitive", index), "unknown_column", said, nearest(name, names)
                )
        if step.emits:
            yield from self._emits_faults(step.emits, names, (*here, "emits"))

    def _measure_faults(self, step: Step, columns: Columns | None, here: Pointer) -> Iterator[Fault]:
        yields_records = step.key in self.columns
        self.measures[step.key] = {"records": 1} if yields_records else {}
        for name in step.measures:
            path = (*here, "measures", name)
            if not yields_records:
                said = f"A {step.verb} step yields no records to measure."
                yield self.document.fault(path, "no_records", said, "Measure the step that it reads.")
                continue
            self.measures[step.key][name] = _SAMPLES["decimal"]
            yield from self._measure(step, name, columns, path)

    def _measure(self, step: Step, name: str, columns: Columns | None, path: Pointer) -> Iterator[Fault]:
        text = step.measures[name]
        statement = self.engine.analyse_measure(text)
        yield from (self._placed(fault, path) for fault in statement.faults)
        for table in sorted(statement.tables):
            said, hint = f"A measure cannot read {table!r}.", "Join it in a transform step."
            yield self.document.fault(path, "sql_access", said, hint)
        if columns is None or statement.tables or statement.faults:
            return
        try:
            kind = self.engine.describe_measure(text, columns).kind
        except SluiceError as exc:
            yield from (self._placed(fault, path) for fault in exc.faults)
            return
        self.measures[step.key][name] = _SAMPLES[kind]
        if kind not in (ColumnKind.INTEGER, ColumnKind.DECIMAL):
            said = f"The measure {name!r} is {kind}."
            yield self.document.fault(path, "measure_type", said, "Count or sum numbers.")

    def _reconcile_faults(self, step: Step, here: Pointer) -> Iterator[Fault]:
        for name, target in step.reconcile.items():
            path = (*here, "reconcile", name)
            other, _, measure = target.partition(".")
            if name not in self.measures.get(step.key, {}):
                said = f"The step has no measure {name!r}."
                yield self.document.fault(
                    path, "unknown_measure", said, nearest(name, list(self.measures[step.key]))
                )
            read = other not in self.shape.unread
            if other == step.key or (read and measure not in self.measures.get(other, {})):
                said = f"{target!r} is no measure of an earlier step."
                yield self.document.fault(path, "unknown_measure", said, "Write `step.measure`.")

    def _emits_faults(self, name: str, columns: list[str] | None, path: Pointer) -> Iterator[Fault]:
        types = self.catalogue.object_types()
        if name not in types:
            said = f"There is no business object type {name!r}."
            yield self.document.fault(path, "unknown_object_type", said, nearest(name, list(types)))
            return
        if columns is None:
            return
        kind = ObjectType(name, types[name])
        for missing in sorted(kind.required - set(columns)):
            said = f"{name!r} requires {missing!r}, which the records do not have."
            yield self.document.fault(path, "missing_column", said, "Add it to the SELECT.")

    def _placed(self, fault: Fault, path: Pointer) -> Fault:
        return self.document.fault(path, fault.code, fault.message, fault.hint)


def _fits(source: Column, target: Column) -> bool:
    pairs = {
        (ColumnKind.INTEGER, ColumnKind.DECIMAL),
        (ColumnKind.TIMESTAMP_TEXT, ColumnKind.TEXT),
        (ColumnKind.TEXT, ColumnKind.TIMESTAMP_TEXT),
    }
    return source.kind is target.kind or (source.kind, target.kind) in pairs
