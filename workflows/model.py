"""The shape of a workflow definition. `shape` reads it, `validation` checks what the shape cannot say."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from kernel.verbs import Verb

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Lower case, digits, underscores")]
WorkflowKey = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Lower case, digits, hyphens")
]
Expression = Annotated[str, Field(min_length=1, description="A CEL expression")]
Sql = Annotated[str, Field(min_length=1, description="One SELECT in DuckDB's dialect")]
Duration = Annotated[str, Field(pattern=r"^\d{1,5}(s|m|h|d)$", description="A whole number and s, m, h or d")]
InputType = Literal["text", "integer", "decimal", "boolean", "date"]


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


class Govern(Part):
    """Policy: one row of facts, then rules over it in order; the first that holds decides."""

    facts: Sql
    rules: Annotated[list[Deny], Field(min_length=1)]


class LogicGate(Part):
    """Goes on when `when` holds; otherwise ends the run or jumps to a later step."""

    when: Expression
    otherwise: str = "end"


class Retry(Part):
    """How often and how long to wait after errors that may pass. `attempts` includes the first; `jitter` is
    the share by which a wait may be longer, so that what failed together does not come back together."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    first: Duration = "10s"
    factor: Annotated[float, Field(ge=1, le=10)] = 2
    max: Duration = "10m"
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1


class Step(Part):
    """One step: a key, exactly one verb, and what is declared about its records."""

    key: Key
    name: str = ""
    fetch: Fetch | None = None
    lookup: Lookup | None = None
    transform: Transform | None = None
    logic_gate: LogicGate | None = None
    govern: Govern | None = None
    push: Push | None = None
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
    def _one_verb(self) -> "Step":
        given = [verb for verb in STEP_VERBS if getattr(self, verb) is not None]
        if len(given) != 1:
            kind, said = ("many_verbs", " and ".join(given)) if given else ("no_verb", "none")
            verbs = ", ".join(STEP_VERBS)
            raise PydanticCustomError(
                kind, "A step has exactly one of {verbs}; this one has {said}", {"verbs": verbs, "said": said}
            )
        return self

    @property
    def verb(self) -> Verb:
        """The verb this step executes."""
        return next(verb for verb in STEP_VERBS if getattr(self, verb) is not None)

    @property
    def call(self) -> Call | None:
        """The connector call, for verbs that reach a system."""
        return self.fetch or self.lookup or self.push

    @property
    def rejecting(self) -> str:
        """Key of the step whose records this one rejects: its own, or those that it writes."""
        return self.push.records if self.push else self.key


STEP_VERBS = (Verb.FETCH, Verb.LOOKUP, Verb.TRANSFORM, Verb.LOGIC_GATE, Verb.GOVERN, Verb.PUSH)


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

    def step(self, key: str) -> Step:
        """The step of that key; `KeyError` when there is none."""
        return next(step for step in self.steps if step.key == key)
