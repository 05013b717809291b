"""Checks that what people approve is what is written after it."""

import re
from collections.abc import Iterator, Sequence

from kernel.durations import parse_duration
from kernel.errors import Fault
from kernel.verbs import SideEffect
from workflows.document import Pointer
from workflows.guards import guarded_by
from workflows.model import STEP_VERBS, Approve, Step
from workflows.references import expressions, record_references
from workflows.scope import Scope
from workflows.writing import writer


def approve_faults(scope: Scope, rule: Approve, path: Pointer) -> Iterator[Fault]:
    """The faults of a rule that asks people, but for its expressions."""
    if (rule.on_timeout == "escalate") != bool(rule.escalate):
        said = "`on_timeout: escalate` and a list `escalate` belong together."
        hint = "Say in `escalate` to whom it goes and how long they have, or let it be rejected."
        yield scope.fault((*path, "escalate" if rule.escalate else "on_timeout"), "escalation", said, hint)
    if rule.remind is not None and parse_duration(rule.remind) >= parse_duration(rule.due):
        said = f"A reminder {rule.remind} before a deadline of {rule.due} would come at once."
        yield scope.fault((*path, "remind"), "reminder", said, "Remind later: make it shorter than `due`.")


def guard_faults(scope: Scope, step: Step, path: Pointer) -> Iterator[Fault]:
    """Writes behind a step that asks people must send what was there when they were asked."""
    writes = [one for one in guarded_by(scope.steps, step.key) if writer(one, scope.catalogue)]
    if not writes:
        said = f"Nothing is written after {step.key!r}: nobody would know what they approve."
        yield scope.fault(path, "guards_nothing", said, "Put the step before the write that needs approval.")
    keys = scope.keys()
    later = keys[keys.index(step.key) + 1 :]
    for write in writes:
        for reason in _unbound(write, later, scope):
            said = f"{write.key!r} would write what nobody has seen when {step.key!r} asks: {reason}."
            hint = "Make what is written before people are asked: move the step, or read and reshape before."
            yield scope.fault(path, "unbound_write", said, hint)


def _unbound(write: Step, later: Sequence[str], scope: Scope) -> Iterator[str]:
    """What a write depends on that comes only after the question."""
    for key in sorted(record_references(write, scope.engine) & set(later)):
        yield f"the records of {key!r} are made after it"
    texts = [text for _, text in expressions(write)]
    for key in later:
        if any(re.search(rf"\b{re.escape(key)}\b", text) for text in texts):
            yield f"its parameters name {key!r}, which comes after it"
    part = write.dispatch or write.run
    if part is not None and part.workflow is not None:
        yield "another workflow decides it; let that one ask"
    if write.dispatch and write.dispatch.generator:
        yield "its records are read while they are dispatched"
    for inner in write.dispatch.steps if write.dispatch else ():
        if inner.kind in STEP_VERBS and inner.verb.side_effect is SideEffect.READ:
            yield f"its step {inner.key!r} reads"
