"""Checks what steps declare about their records: sensitive columns, measures, reconciliation, object type."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from kernel.errors import Fault, SluiceError
from kernel.records import ColumnKind
from workflows.document import Pointer, nearest
from workflows.model import Step
from workflows.objects import ObjectType
from workflows.references import DISPATCH_COUNTS
from workflows.samples import SAMPLES, SOME_NUMBER
from workflows.scope import Columns, Scope

_TAKES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "dispatch": frozenset({"key", "name", "dispatch", "sensitive", "measures", "rejects", "timeout"}),
        "run": frozenset({"key", "name", "run", "timeout"}),
    }
)
_INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "retry": "The steps that do the work have their own: write it there.",
        "emits": "Write it on the step that makes the records.",
        "reconcile": "Let a later step reconcile with the measures of this one.",
        "sensitive": "Write it on the steps where the columns come in.",
        "measures": "What the workflow's own steps measure can be read after it.",
        "rejects": "The steps of the workflow have their own: write it there.",
    }
)


def declaration_faults(scope: Scope, step: Step, here: Pointer) -> Iterator[Fault]:
    """The faults of what a step declares besides its work; its measures enter the scope."""
    misplaced = _misplaced(step)
    for name in misplaced:
        said = f"A {step.kind} step takes no `{name}`."
        yield scope.fault((*here, name), "not_here", said, _INSTEAD[name])
    columns = scope.about.get(step.key)
    yield from _measure_faults(scope, step, columns, here)
    yield from _reconcile_faults(scope, step, here)
    names = None if columns is None else [column.name for column in columns]
    for index, name in enumerate(step.sensitive):
        if names is not None and name not in names:
            said, path = f"There is no column {name!r} to keep secret.", (*here, "sensitive", index)
            yield scope.fault(path, "unknown_column", said, nearest(name, names))
    if step.emits and "emits" not in misplaced:
        yield from _emits_faults(scope, step.emits, names, (*here, "emits"))


def _misplaced(step: Step) -> list[str]:
    takes = _TAKES.get(step.kind)
    return [] if takes is None else sorted((step.model_fields_set & _INSTEAD.keys()) - takes)


def _measure_faults(scope: Scope, step: Step, columns: Columns | None, here: Pointer) -> Iterator[Fault]:
    yields_records = step.key in scope.about
    measures = scope.measures.setdefault(step.key, {"records": 1} if yields_records else {})
    for name in step.measures if step.kind != "run" else ():
        path = (*here, "measures", name)
        if not yields_records:
            said = f"A {step.kind} step yields no records to measure."
            yield scope.fault(path, "no_records", said, "Measure the step that it reads.")
        elif name in _taken(step):
            said = f"`steps.{step.key}.{name}` means something else after a dispatch."
            yield scope.fault(path, "reserved_measure", said, "Give the measure another name.")
        else:
            measures[name] = SOME_NUMBER
            yield from _measure(scope, step, name, columns, path)


def _taken(step: Step) -> set[str]:
    """Names that a dispatch has among its measures anyway: counts of chunks, and the steps inside."""
    if step.dispatch is None:
        return set()
    return set(DISPATCH_COUNTS - {"records"}) | {inner.key for inner in step.dispatch.steps}


def _measure(scope: Scope, step: Step, name: str, columns: Columns | None, path: Pointer) -> Iterator[Fault]:
    text = step.measures[name]
    statement = scope.engine.analyse_measure(text)
    yield from (scope.relocated(fault, path) for fault in statement.faults)
    for table in sorted(statement.tables):
        said, hint = f"A measure cannot read {table!r}.", "Join it in a transform step."
        yield scope.fault(path, "sql_access", said, hint)
    if statement.tables or statement.faults:
        return
    if step.dispatch and not scope.engine.adds_up(text):
        said = f"The measure {name!r} of a dispatch does not add up: its records come in portions."
        yield scope.fault(
            path, "not_a_sum", said, "Use sum or count, with casts inside, or measure an earlier step."
        )
    if columns is None:
        return
    try:
        kind = scope.engine.describe_measure(text, columns).kind
    except SluiceError as exc:
        yield from (scope.relocated(fault, path) for fault in exc.faults)
        return
    scope.measures[step.key][name] = SAMPLES[kind]
    if kind not in (ColumnKind.INTEGER, ColumnKind.DECIMAL):
        said = f"The measure {name!r} is {kind}."
        yield scope.fault(path, "measure_type", said, "Count or sum numbers.")


def _reconcile_faults(scope: Scope, step: Step, here: Pointer) -> Iterator[Fault]:
    own = scope.measures[step.key]
    for name, target in step.reconcile.items() if step.kind not in _TAKES else ():
        path = (*here, "reconcile", name)
        other, _, measure = target.partition(".")
        if name not in own:
            said = f"The step has no measure {name!r}."
            yield scope.fault(path, "unknown_measure", said, nearest(name, list(own)))
        if other == step.key or not (other in scope.shape.unread or _is_total(scope, other, measure)):
            said = f"{target!r} is no measure of an earlier step{' of the chunk' if scope.is_chunk else ''}."
            yield scope.fault(path, "unknown_measure", said, "Write `step.measure`.")


def _is_total(scope: Scope, step: str, measure: str) -> bool:
    """Whether a step of the same level measures it over its records."""
    measuring = {one.key for one in scope.steps if one.run is None}
    found = scope.measures.get(step, {}).get(measure) if step in measuring else None
    return found is not None and not isinstance(found, Mapping)


def _emits_faults(scope: Scope, name: str, columns: list[str] | None, path: Pointer) -> Iterator[Fault]:
    types = scope.catalogue.object_types()
    if name not in types:
        said = f"There is no business object type {name!r}."
        yield scope.fault(path, "unknown_object_type", said, nearest(name, list(types)))
        return
    if columns is None:
        return
    kind = ObjectType(name, types[name])
    for missing in sorted(kind.required - set(columns)):
        said = f"{name!r} requires {missing!r}, which the records do not have."
        yield scope.fault(path, "missing_column", said, "Add it to the SELECT.")
