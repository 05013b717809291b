"""What the API takes and gives about postings and dead letters."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field, StringConstraints

from commands.postings import Finding
from store.dead_letters import DeadLetter
from store.posting_list import PostingDetail
from store.transitions import Transition
from triggers.bodies import Body
from triggers.views import FaultView, View

MAX_LETTERS = 1_000
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    Field(description="Why. It is audited, so write no record values into it."),
]
Changes = Annotated[dict[str, Any], Field(description="New values by field; decimals and dates as text")]


def exact(text: str) -> Decimal:
    """A JSON number as it was written; `ValueError` when it is too large for one."""
    try:
        return Decimal(text)
    except ArithmeticError as exc:
        raise ValueError("a number is too large") from exc


class ResolvePosting(Body):
    """What was found in the system about a record in doubt."""

    outcome: Finding = Field(description="`confirmed`: the record is there. `rejected`: it is not there.")
    external_id: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="What the system calls the record."
    )
    reason: Reason


class DiscardDeadLetter(Body):
    """Decide that a record is not to be processed."""

    reason: Reason


class RetryDeadLetter(Body):
    """Take a record up again, as it is or edited."""

    number: ClassVar[Callable[[str], Any]] = exact

    edit: Changes = Field(default_factory=dict)
    reason: Reason


class RetryDeadLetters(Body):
    """Take several records of one run and step up again in one repair run."""

    number: ClassVar[Callable[[str], Any]] = exact

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_LETTERS, description="Dead letters")]
    edits: dict[UUID, Changes] = Field(default_factory=dict, description="By dead letter: its new values")
    reason: Reason


class TransitionView(View):
    """One change of a state: who and when. `before` is null where the thing begins."""

    before: str | None
    after: str
    actor: str
    at: datetime


class PostingView(View):
    """One record's way into a system. `shown` are its key values; sensitive ones are taken out."""

    id: UUID
    state: str
    connector: str
    operation: str
    workflow: str
    run_id: UUID
    chunk_id: UUID | None
    step: str
    shown: dict[str, Any]
    external_id: str | None
    reason: str | None
    sent_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: PostingDetail) -> "PostingView":
        """The view of a row."""
        return cls.model_validate({**vars(row), "step": row.step_key, "shown": dict(row.shown or {})})


class PostingDetailView(PostingView):
    """One posting with the changes of its state, oldest first."""

    idempotency_key: str
    transitions: list[TransitionView]

    @classmethod
    def with_transitions(cls, row: PostingDetail, changes: Sequence[Transition]) -> "PostingDetailView":
        """The view of a row and its transitions."""
        return cls(
            **PostingView.of(row).model_dump(),
            idempotency_key=row.idempotency_key,
            transitions=[TransitionView.model_validate(change) for change in changes],
        )


class LetterView(View):
    """A record that was set aside, and what became of it. `record` is what may be seen of it; `retry_run`
    takes it up again."""

    id: UUID
    state: str
    workflow: str
    run_id: UUID
    chunk_id: UUID | None
    step: str
    reason: str
    faults: list[FaultView]
    record: dict[str, Any]
    created_at: datetime
    resolved_by: str | None
    resolved_at: datetime | None
    resolution: str | None
    retry_run: UUID | None

    @classmethod
    def of(cls, letter: DeadLetter) -> "LetterView":
        """The view of a dead letter."""
        return cls.model_validate({**vars(letter), "step": letter.step_key})


class LetterDetailView(LetterView):
    """One dead letter with the changes of its state, oldest first."""

    transitions: list[TransitionView]

    @classmethod
    def with_transitions(cls, letter: DeadLetter, changes: Sequence[Transition]) -> "LetterDetailView":
        """The view of a dead letter and its transitions."""
        seen = [TransitionView.model_validate(change) for change in changes]
        return cls(**LetterView.of(letter).model_dump(), transitions=seen)
