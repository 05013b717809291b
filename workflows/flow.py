"""Follows columns and measures through the steps and reports what cannot fit."""

from collections.abc import Callable, Iterator

from kernel.errors import Fault
from kernel.verbs import Verb
from workflows.calls import key_faults, push_faults, read_faults
from workflows.declarations import declaration_faults
from workflows.document import Pointer
from workflows.expressions import template_expressions
from workflows.guarding import approve_faults, guard_faults
from workflows.model import Approve, Deny, Dispatch, Step
from workflows.nesting import measured_by, reference_faults
from workflows.references import DISPATCH_COUNTS, chunk_expressions, expressions
from workflows.samples import record_sample
from workflows.scope import Columns, Scope


class Flow:
    """The walk over the steps of one level, in order."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def faults(self) -> Iterator[Fault]:
        """Every fault of these steps and of those inside their dispatches."""
        for here, step in self.scope.placed():
            self.scope.begin(step.key)
            if self.scope.is_chunk and step.kind in ("dispatch", "run"):
                yield self._too_deep(step, (*here, step.kind))
                continue
            yield from self._expression_faults(step, here)
            yield from self._check(step)(step, (*here, step.kind))
            yield from declaration_faults(self.scope, step, here)

    def _check(self, step: Step) -> Callable[[Step, Pointer], Iterator[Fault]]:
        checks = {
            "fetch": self._read,
            "lookup": self._read,
            "push": self._push,
            "transform": self._transform,
            "govern": self._govern,
            "logic_gate": self._logic_gate,
            "dispatch": self._dispatch,
            "run": self._run,
        }
        return checks[step.kind]

    def _too_deep(self, step: Step, path: Pointer) -> Fault:
        self.scope.unjudged |= {step.key, "steps"}
        said = f"The steps of a dispatch cannot {step.kind} anything themselves."
        hint = "Write `workflow` instead of `steps`: that workflow may dispatch, and run others."
        return self.scope.fault(path, "nested_dispatch", said, hint)

    # records ---------------------------------------------------------------------------------------------

    def _read(self, step: Step, path: Pointer) -> Iterator[Fault]:
        assert step.call is not None
        found, columns = read_faults(self.scope, step.call, step.verb, path)
        yield from found
        self.scope.put(step.key, columns)

    def _push(self, step: Step, path: Pointer) -> Iterator[Fault]:
        return push_faults(self.scope, step, path)

    def _transform(self, step: Step, path: Pointer) -> Iterator[Fault]:
        assert step.transform is not None
        self.scope.put(step.key, None)
        found, columns = self.scope.sql(step.transform.sql, (*path, "sql"))
        yield from found
        self.scope.put(step.key, columns)

    # decisions -------------------------------------------------------------------------------------------

    def _govern(self, step: Step, path: Pointer) -> Iterator[Fault]:
        assert step.govern is not None
        found, columns = self.scope.sql(step.govern.facts, (*path, "facts"))
        yield from found
        facts = None if columns is None else record_sample(columns)
        for index, rule in enumerate(step.govern.rules):
            here = (*path, "rules", index)
            part = "deny" if isinstance(rule, Deny) else "approve"
            yield from self.scope.condition(rule.when, facts, (*here, part))
            for text in template_expressions(rule.because):
                yield from self.scope.expression(text, facts, (*here, "because"))
            if isinstance(rule, Approve):
                yield from approve_faults(self.scope, rule, here)
        if step.govern.asks:
            yield from guard_faults(self.scope, step, path)

    def _logic_gate(self, step: Step, path: Pointer) -> Iterator[Fault]:
        assert step.logic_gate is not None
        target, keys = step.logic_gate.otherwise, self.scope.keys()
        later = keys[keys.index(step.key) + 1 :]
        if target != "end" and target not in later and target not in self.scope.shape.unread:
            code = "backward_reference" if target in keys else "unknown_step"
            said = f"`otherwise` names {target!r}, which is not a later step."
            hint = f"Use `end` or the key of a later step{' of the chunk' if self.scope.is_chunk else ''}."
            yield self.scope.fault((*path, "otherwise"), code, said, hint)

    def _expression_faults(self, step: Step, here: Pointer) -> Iterator[Fault]:
        for part, text in expressions(step):
            path = (*here, *part.split("."))
            check = self.scope.condition if step.logic_gate else self.scope.expression
            yield from check(text, self.scope.measures, path)

    # other workflows, and many chunks --------------------------------------------------------------------

    def _run(self, step: Step, path: Pointer) -> Iterator[Fault]:
        assert step.run is not None
        yield from reference_faults(self.scope, step.run, path)
        version = self.scope.catalogue.workflow(step.run.workflow)
        if version is None:
            self.scope.unjudged |= {step.key, "steps"}
        else:
            self.scope.measures[step.key] = {**measured_by(version.workflow), "state": "SUCCEEDED"}

    def _dispatch(self, step: Step, path: Pointer) -> Iterator[Fault]:
        dispatch = step.dispatch
        assert dispatch is not None
        found, columns = self._source(dispatch, path)
        yield from found
        yield from key_faults(self.scope, dispatch.key, dispatch.source or step.key, columns, path)
        inside = self.scope.inside(dispatch.steps, (*path, "steps"), columns)
        yield from self._chunks(dispatch, inside, path)
        self.scope.about[step.key] = columns
        self.scope.measures[step.key] = dict.fromkeys(DISPATCH_COUNTS, 1)
        for inner in dispatch.steps:
            self.scope.measures[step.key][inner.key] = {
                name: sample
                for name, sample in inside.measures.get(inner.key, {}).items()
                if name not in inner.measures or self.scope.engine.adds_up(inner.measures[name])
            }

    def _source(self, dispatch: Dispatch, path: Pointer) -> tuple[list[Fault], Columns | None]:
        if dispatch.generator is not None:
            return read_faults(self.scope, dispatch.generator, Verb.FETCH, (*path, "over", "fetch"))
        assert dispatch.source is not None
        found = list(self.scope.table_faults({dispatch.source}, (*path, "over")))
        return found, self.scope.columns.get(dispatch.source)

    def _chunks(self, dispatch: Dispatch, inside: Scope, path: Pointer) -> Iterator[Fault]:
        other, its = ("workflow", ("inputs", "version")) if dispatch.steps else ("steps", ("batch",))
        for name in sorted(dispatch.model_fields_set.intersection(its)):
            said = f"`{name}` means nothing in a dispatch without `{other}`."
            yield self.scope.fault((*path, name), "not_here", said, "Take it out.")
        if dispatch.steps:
            yield from Flow(inside).faults()
            return
        for part, text in chunk_expressions(dispatch):
            yield from inside.expression(text, inside.measures, (*path, *part.split(".")[1:]))
        yield from reference_faults(inside, dispatch, path)
