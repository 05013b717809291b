"""What the API takes and gives: the models that requests are parsed with and OpenAPI is made from."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from store.connectors import ConnectorRow
from store.dead_letters import DeadLetter
from store.nested_runs import NestedRun
from store.progress import Progress
from store.runs import RunRow, TaskRow
from store.workflows import Version, WorkflowRow
from triggers.bodies import Body
from workflows.actions import Action, possible_actions


class View(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(from_attributes=True)


class StartRun(Body):
    """Start a run of a workflow's active version."""

    number: ClassVar[Callable[[str], Any]] = str  # money is exact: 50.00 stays what was written

    inputs: dict[str, Any] = Field(default_factory=dict)
    reason: str = ""


class SaveConnector(Body):
    """A connector's system, settings and the names of its secrets."""

    system: str
    settings: dict[str, Any] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)


class SaveObjectType(Body):
    """A business object type: a JSON Schema (draft 2020-12)."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    json_schema: dict[str, Any] = Field(alias="schema")


class FaultView(View):
    """One thing that is wrong, with its place and remedy."""

    code: str
    message: str
    path: str = ""
    line: int | None = None
    field: str | None = None
    value: str | None = None
    hint: str = ""
    severity: str = "error"


class ProblemView(View):
    """What went wrong (RFC 9457): `code` is stable, `errors` has every fault, the log knows `trace_id`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FaultView]
    trace_id: str


class ValidationView(View):
    """Whether a definition can be published, and everything worth saying about it."""

    valid: bool
    faults: list[FaultView]
    segments: list[list[str]] = Field(default_factory=list, description="Steps that run in one go")


class WorkflowView(View):
    """A workflow as lists show it."""

    key: str
    name: str
    active_version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: WorkflowRow) -> "WorkflowView":
        """The view of a row."""
        return cls.model_validate(row)


class VersionView(View):
    """One immutable version."""

    id: UUID
    workflow: str
    number: int
    hash: str
    published_by: str
    published_at: datetime
    definition: dict[str, Any]
    plan: dict[str, Any]

    @classmethod
    def of(cls, version: Version) -> "VersionView":
        """The view of a version."""
        return cls.model_validate(version)


class ConnectorView(View):
    """A connector; secrets are names in the vault."""

    key: str
    system: str
    settings: dict[str, Any]
    secrets: dict[str, str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: ConnectorRow) -> "ConnectorView":
        """The view of a row."""
        return cls.model_validate(row)


class ObjectTypeView(View):
    """A business object type by name."""

    name: str


class FileView(View):
    """An uploaded file; `sha256` is of its bytes."""

    name: str
    bytes: int
    sha256: str


class FailureView(View):
    """Why a run or task failed."""

    step: str | None = None
    code: str
    message: str
    faults: list[FaultView] = Field(default_factory=list)


class AttemptView(View):
    """One attempt at a step that failed. `wait_seconds` is how long the next one waited, if there was one.

    What is not `counted` was only waited for, so many `times` in a row; `wait_seconds` is the last wait.
    """

    execution: int
    number: int
    ended_at: datetime
    code: str
    message: str
    wait_seconds: float | None
    counted: bool = True
    times: int = 1


class ProgressView(View):
    """How far a dispatch is, in chunks. `total` is what is planned so far; more may come while it is
    `planning`. `waiting` have not begun, are paused, or wait for their next attempt."""

    total: int
    succeeded: int
    failed: int
    skipped: int
    cancelled: int
    running: int
    waiting: int
    planning: bool
    rate: float | None = Field(
        description="Chunks that end within a second, lately; null when it does not go on"
    )
    eta: datetime | None = Field(description="When it will be done at this rate; null when nobody can know")

    @classmethod
    def of(cls, found: Progress) -> "ProgressView":
        """The view of a dispatch's progress."""
        return cls.model_validate(found)


class TaskView(View):
    """One step of a run or of a chunk. `measures` are per measure; numbers that are not whole are decimal
    strings. A dispatch that has begun has `progress`."""

    step: str
    verb: str
    state: str
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    counts: dict[str, int]
    measures: dict[str, Any]
    failure: FailureView | None
    attempts: list[AttemptView]
    progress: ProgressView | None = None

    @classmethod
    def of(cls, row: TaskRow, progress: Progress | None = None) -> "TaskView":
        """The view of a row; of a dispatch, with its progress."""
        return cls(
            step=row.step_key,
            verb=row.verb,
            state=row.state,
            attempt=row.attempt,
            started_at=row.started_at,
            finished_at=row.finished_at,
            counts=dict(row.counts or {}),
            measures=dict(row.measures or {}),
            failure=failure_view(row.failure),
            attempts=[AttemptView.model_validate(attempt) for attempt in row.attempts],
            progress=None if progress is None else ProgressView.of(progress),
        )


class TotalsView(View):
    """One control total: read = posted + already posted + rejected + held. Decimal strings."""

    step: str
    measure: str
    read: str
    posted: str
    already_posted: str
    rejected: str
    held: str
    proved: bool


class RunView(View):
    """One run. `requested` is what an operator has asked for and has not happened yet; `actions` are what one
    can do with it now. A nested run has the run, step and perhaps chunk that it was started for, and the run
    at the top; `depth` is how many runs are above it."""

    id: UUID
    workflow: str
    version: int
    environment: str
    state: str
    inputs: dict[str, Any]
    requested_by: str
    reason: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    failure: FailureView | None
    totals: list[TotalsView] | None
    requested: str | None
    waits_for: str | None
    execution: int
    replay_of: UUID | None
    repair_of: UUID | None
    parent_run_id: UUID | None
    parent_step: str | None
    parent_chunk_id: UUID | None
    root_run_id: UUID | None
    depth: int
    actions: list[Action]

    @classmethod
    def of(cls, row: RunRow) -> "RunView":
        """The view of a row."""
        actions = possible_actions(row.state, row.wish, repairs=row.repair_of is not None)
        return cls.model_validate({**vars(row), "failure": failure_view(row.failure), "actions": actions})


class ChildView(View):
    """A run that a step has started. A `detached` one goes on when the run above it is cancelled."""

    id: UUID
    step: str
    workflow: str
    state: str
    detached: bool

    @classmethod
    def of(cls, child: NestedRun) -> "ChildView":
        """The view of a nested run."""
        return cls.model_validate(child)


class RunDetailView(RunView):
    """One run with its tasks. `wake_at` is until when it waits before it tries again, `deadline_at` when it
    has to be over. `children` are the runs that its steps have started, the newest first, at most 100; those
    of chunks are found by their chunk, or in the list of runs by `parent`. `approvals` are requests that
    nobody has decided yet, those of chunks too."""

    wake_at: datetime | None
    deadline_at: datetime | None

    tasks: list[TaskView] = Field(default_factory=list)
    children: list[ChildView] = Field(default_factory=list)
    approvals: list[UUID] = Field(default_factory=list)

    @classmethod
    def with_tasks(
        cls,
        row: RunRow,
        tasks: Sequence[TaskRow],
        progress: Mapping[str, Progress],
        children: Sequence[NestedRun],
        approvals: Sequence[UUID],
    ) -> "RunDetailView":
        """The view of a run and its tasks; `progress` is by step key."""
        times = {"wake_at": row.wake_at, "deadline_at": row.deadline_at}
        return cls(
            **RunView.of(row).model_dump(),
            **times,
            tasks=[TaskView.of(task, progress.get(task.step_key)) for task in tasks],
            children=[ChildView.of(child) for child in children],
            approvals=list(approvals),
        )


class DeadLetterView(View):
    """A record that was set aside. `record` is what may be seen of it: sensitive values are taken out."""

    id: UUID
    run_id: UUID
    chunk_id: UUID | None
    step: str
    reason: str
    faults: list[FaultView]
    record: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, letter: DeadLetter) -> "DeadLetterView":
        """The view of a dead letter."""
        return cls.model_validate({**vars(letter), "step": letter.step_key})


def _id(row: Any) -> str:
    return str(row.id)


class Page[Item](View):
    """Part of a list. Pass `next` as `cursor` to get the following part; `null` means the end."""

    items: list[Item]
    next: str | None = None

    @classmethod
    def cut[Row](
        cls, rows: Sequence[Row], limit: int, view: Callable[[Row], Item], cursor: Callable[[Row], str] = _id
    ) -> Self:
        """The first `limit` rows; one row more only says that there are more."""
        shown = rows[:limit]
        following = cursor(shown[-1]) if len(rows) > limit else None
        return cls(items=[view(row) for row in shown], next=following)


class HealthView(View):
    """Whether the application and what it needs answer. Each check is `ok` or a reason."""

    status: str
    version: str
    checks: dict[str, str] = Field(default_factory=dict)


def failure_view(stored: Mapping[str, Any] | None) -> FailureView | None:
    """The view of a stored failure, if there is one."""
    return None if stored is None else FailureView.model_validate(stored)
