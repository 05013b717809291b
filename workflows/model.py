"""The shape of a workflow definition. `shape` reads it, `validation` checks what the shape cannot say."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic import WithJsonSchema as Described
from pydantic_core import PydanticCustomError

from kernel.verbs import SideEffect, Verb
from workflows.tolerance import PATTERN, checked_tolerance

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Lower case, digits, underscores")]
WorkflowKey = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Lower case, digits, hyphens")
]
Group = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,99}$", description="A group or an app role")]
Expression = Annotated[str, Field(min_length=1, description="A CEL expression")]
Sql = Annotated[str, Field(min_length=1, description="One SELECT in DuckDB's dialect")]
Duration = Annotated[str, Field(pattern=r"^\d{1,5}(s|m|h|d)$", description="A whole number and s, m, h or d")]
InputType = Literal["text", "integer", "decimal", "boolean", "date"]
VersionMode = Literal["pinned", "latest"]
Tolerance = Annotated[
    int | str,
    BeforeValidator(checked_tolerance),
    Described({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": PATTERN}]}),
]


def name_pattern(joiner: str) -> re.Pattern[str]:
    """Names with `_` (steps, columns, object types) or `-` (workflows, connectors) between words."""
    return re.compile(rf"[a-z][a-z0-9{joiner}]{{0,62}}")


class Part(BaseModel):
    """Base of every part: unknown keys are faults, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(Part):
    """One value that whoever starts a run provides. Money is written as text, e.g. `"50.00"`."""

    type: InputType
    required: bool = True
    default: str | int | bool | None = None
    description: str = ""


class Call(Part):
    """A connector's operation with its parameters; `${{ }}` in parameters is CEL."""

    connector: WorkflowKey
    operation: Key
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")


class Fetch(Call):
    """Read records from a system, page by page."""


class Lookup(Call):
    """Read one record from a system."""


class Push(Call):
    """Write an earlier step's records to a system, each exactly once under the values of `key`."""

    records: Key
    key: Annotated[list[str], Field(min_length=1)]


class Transform(Part):
    """Reshape earlier steps' records with SQL; each is a table named after its key."""

    sql: Sql


class Deny(Part):
    """Fails the run when `deny` holds. `because` may contain `${{ }}` over the facts."""

    deny: Expression
    because: Annotated[str, Field(min_length=1)]

    @property
    def when(self) -> str:
        """The condition."""
        return self.deny


class Escalation(Part):
    """Who else may decide when nobody has in time, and how long they have."""

    to: Annotated[list[Group], Field(min_length=1)]
    due: Duration = "24h"


class Approve(Part):
    """Asks people when `approve` holds: `quorum` different members of the groups in `by` have to agree before
    anything after this step is written. `because` may contain `${{ }}` over the facts.

    When nobody has decided after `due`, it counts as rejected, goes on to other groups, or fails the run.
    """

    approve: Expression
    by: Annotated[list[Group], Field(min_length=1)]
    quorum: Annotated[int, Field(ge=1, le=20)] = 1
    due: Duration = "72h"
    remind: Annotated[Duration | None, Field(description="How long before the deadline")] = None
    on_timeout: Literal["reject", "escalate", "fail"] = "reject"
    escalate: list[Escalation] = Field(default_factory=list)
    because: Annotated[str, Field(min_length=1)]

    @property
    def when(self) -> str:
        """The condition."""
        return self.approve


def _kind_of_rule(given: Any) -> str:
    asks = "approve" in given if isinstance(given, dict) else isinstance(given, Approve)
    return "(approve)" if asks else "(deny)"


Rule = Annotated[
    Annotated[Deny, Tag("(deny)")] | Annotated[Approve, Tag("(approve)")], Discriminator(_kind_of_rule)
]


class Govern(Part):
    """Policy: one row of facts and rules over it. The first `deny` that holds fails the run; every `approve`
    that holds asks people."""

    facts: Sql
    rules: Annotated[list[Rule], Field(min_length=1)]

    @property
    def asks(self) -> bool:
        """Whether it may have to wait for people."""
        return any(isinstance(rule, Approve) for rule in self.rules)


class LogicGate(Part):
    """Goes on when `when` holds; otherwise ends the run or jumps to a later step."""

    when: Expression
    otherwise: str = "end"


class Generator(Part):
    """Records that are read from a system only to be dispatched, page by page."""

    fetch: Fetch


def _kind_of_source(given: Any) -> str:
    return "(key)" if isinstance(given, str) else "(generator)"


Source = Annotated[
    Annotated[Key, Tag("(key)")] | Annotated[Generator, Tag("(generator)")], Discriminator(_kind_of_source)
]
"""An earlier step's key, or a generator. `shape` leaves the tags out of paths."""


class Dispatch(Part):
    """Fan-out: for each record, a chunk, these steps or a run of another workflow, many at once."""

    over: Source
    key: Annotated[list[str], Field(min_length=1)]
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 20
    batch: Annotated[int, Field(ge=1, le=100)] = 1
    tolerate: Tolerance = 0
    on_failure: Literal["continue", "stop"] = "continue"
    steps: Annotated[list["Step"], Field(min_length=1)] = Field(default_factory=list)
    workflow: WorkflowKey | None = None
    version: VersionMode = "pinned"
    inputs: dict[Key, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_body(self) -> "Dispatch":
        if bool(self.steps) == (self.workflow is not None):
            kind, said = ("many_bodies", "both") if self.steps else ("no_body", "neither")
            message = "A dispatch has either `steps` or `workflow`; this one has {said}"
            raise PydanticCustomError(kind, message, {"said": said})
        return self

    @property
    def source(self) -> str | None:
        """Key of the step whose records are the chunks; `None` with a generator."""
        return self.over if isinstance(self.over, str) else None

    @property
    def generator(self) -> Fetch | None:
        """The call that yields the chunks, when they are no earlier step's records."""
        return None if isinstance(self.over, str) else self.over.fetch


class NestedRun(Part):
    """A run of another workflow; this one goes on when that has ended."""

    workflow: WorkflowKey
    version: VersionMode = "pinned"
    inputs: dict[Key, Any] = Field(default_factory=dict)
    on_failure: Literal["fail", "continue"] = "fail"
    when_cancelled: Literal["cancel", "leave"] = "cancel"


class Retry(Part):
    """How often and how long to wait after errors that may pass. `attempts` includes the first; `jitter` is
    the share by which a wait may be longer, so that what failed together does not come back together."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    first: Duration = "10s"
    factor: Annotated[float, Field(ge=1, le=10)] = 2
    max: Duration = "10m"
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1


class Step(Part):
    """One step: a key, exactly one kind of work, and what is declared about its records."""

    key: Key
    name: str = ""
    fetch: Fetch | None = None
    lookup: Lookup | None = None
    transform: Transform | None = None
    logic_gate: LogicGate | None = None
    govern: Govern | None = None
    push: Push | None = None
    dispatch: Dispatch | None = None
    run: NestedRun | None = None
    sensitive: list[str] = Field(default_factory=list)
    emits: Key | None = None
    measures: dict[Key, Sql] = Field(default_factory=dict)
    reconcile: dict[Key, str] = Field(default_factory=dict)
    retry: Retry = Retry()
    rejects: Literal["fail", "dead_letter"] = "fail"
    timeout: Annotated[
        Duration | None, Field(description="The longest the step may take, with all its attempts")
    ] = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Step":
        given = [kind for kind in STEP_KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            kind, said = ("many_verbs", " and ".join(given)) if given else ("no_verb", "none")
            kinds = ", ".join(STEP_KINDS)
            raise PydanticCustomError(
                kind, "A step has exactly one of {kinds}; this one has {said}", {"kinds": kinds, "said": said}
            )
        return self

    @property
    def kind(self) -> str:
        """The name of the one part it has: its verb, `dispatch` or `run`."""
        return next(str(kind) for kind in STEP_KINDS if getattr(self, kind) is not None)

    @property
    def verb(self) -> Verb:
        """The verb this step executes; `ValueError` for a dispatch or run step, which has none."""
        return Verb(self.kind)

    @property
    def writes(self) -> bool:
        """Whether a segment ends with it: it writes, or others do so on its behalf."""
        return self.kind not in STEP_VERBS or self.verb.side_effect is SideEffect.WRITE

    @property
    def call(self) -> Call | None:
        """The connector call, for verbs that reach a system."""
        return self.fetch or self.lookup or self.push

    @property
    def rejecting(self) -> str:
        """Key of the step whose records this one rejects: its own, or those that it writes or dispatches."""
        if self.push:
            return self.push.records
        return (self.dispatch.source if self.dispatch else None) or self.key


Dispatch.model_rebuild()  # `Step` is known now

STEP_VERBS = (Verb.FETCH, Verb.LOOKUP, Verb.TRANSFORM, Verb.LOGIC_GATE, Verb.GOVERN, Verb.PUSH)
STEP_KINDS = (*STEP_VERBS, "dispatch", "run")
YIELDING = (Verb.FETCH, Verb.LOOKUP, Verb.TRANSFORM)
"""Kinds of steps whose records later steps can read; they measure `records` and whatever they declare."""


class Child(NamedTuple):
    """A reference to another workflow: the step that makes it, its part, and which workflow it runs."""

    step: str
    part: Dispatch | NestedRun
    workflow: str
    version: VersionMode


class Workflow(Part):
    """A whole definition."""

    workflow: WorkflowKey
    name: str = ""
    description: str = ""
    inputs: dict[Key, Input] = Field(default_factory=dict)
    timeout: Annotated[
        Duration | None, Field(description="The longest a run may take from its start, waits included")
    ] = None
    steps: Annotated[list[Step], Field(min_length=1)]

    def all_steps(self) -> Iterator[Step]:
        """Every step in the order of the definition; those of a dispatch follow it."""
        for step in self.steps:
            yield step
            yield from step.dispatch.steps if step.dispatch else ()

    def step(self, key: str) -> Step:
        """The step of that key, at the top or in a dispatch; `KeyError` when there is none."""
        for step in self.all_steps():
            if step.key == key:
                return step
        raise KeyError(key)

    def children(self) -> Iterator[Child]:
        """Every reference to another workflow."""
        for step in self.steps:
            part = step.run or step.dispatch
            if part is not None and part.workflow is not None:
                yield Child(step.key, part, part.workflow, part.version)
