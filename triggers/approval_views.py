"""What the API takes and gives about approvals."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from commands.approvals import ApprovalFile, Lines, Period
from store.approvals import ApprovalRow
from store.decisions import CommentRow, DecisionRow
from triggers.bodies import Body
from triggers.views import View
from workflows.deciding import WORDS, Standing
from workflows.states import ApprovalState


class DecideApproval(Body):
    """Approve or reject what is asked. A rejection needs a reason."""

    decision: Literal["approve", "reject"]
    reason: str = ""


class CommentApproval(Body):
    """Ask or answer something."""

    text: str


class ReassignApproval(Body):
    """Have others decide: groups, or people as `person:` and an id."""

    to: list[str]
    reason: str


class ApprovalView(View):
    """A request for approval. Amounts are exact text; what is sensitive is redacted."""

    id: UUID
    run_id: UUID
    chunk_id: UUID | None
    step_key: str
    state: ApprovalState
    because: str
    approvers: Sequence[str]
    quorum: int
    level: int
    digest: str
    facts: Mapping[str, Any]
    summary: Mapping[str, Any]
    changes: Mapping[str, Any] | None
    replaces: UUID | None
    on_timeout: str
    requested_at: datetime
    due_at: datetime | None
    ended_at: datetime | None
    outcome: Mapping[str, Any] | None

    @classmethod
    def of(cls, row: ApprovalRow) -> Self:
        """The view of a stored request."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class DecisionView(View):
    """What one person decided."""

    decision: str
    reason: str
    actor: str
    name: str
    groups: Sequence[str]
    source: str
    decided_at: datetime

    @classmethod
    def of(cls, row: DecisionRow, names: Mapping[str, str]) -> Self:
        """The view of a stored decision."""
        known = {name: getattr(row, name) for name in cls.model_fields if name != "name"}
        return cls(**known, name=names.get(row.actor, row.actor))


class CommentView(View):
    """What somebody asked or answered."""

    actor: str
    name: str
    text: str
    created_at: datetime

    @classmethod
    def of(cls, row: CommentRow, names: Mapping[str, str]) -> Self:
        """The view of a stored comment."""
        name = names.get(row.actor, row.actor)
        return cls(actor=row.actor, name=name, text=row.text, created_at=row.created_at)


class PeriodView(View):
    """How a measure compares with the last confirmed run."""

    step: str
    name: str
    before: str
    now: str
    difference: str

    @classmethod
    def of(cls, period: Period) -> Self:
        """The view of a comparison."""
        return cls(**vars(period))


class ApprovalDetailView(ApprovalView):
    """A request with what was said about it, and how the caller stands to it."""

    standing: Standing
    words: str
    still_needed: int
    decisions: list[DecisionView]
    comments: list[CommentView]
    compared_with: UUID | None
    compared: list[PeriodView]

    @classmethod
    def of_file(cls, file: ApprovalFile) -> Self:
        """The view of everything about a request."""
        known = {name: getattr(file.approval, name) for name in ApprovalView.model_fields}
        return cls(
            **known,
            standing=file.standing,
            words=WORDS[file.standing],
            still_needed=file.still_needed,
            decisions=[DecisionView.of(one, file.names) for one in file.said],
            comments=[CommentView.of(one, file.names) for one in file.comments],
            compared_with=file.earlier.id if file.earlier else None,
            compared=[PeriodView.of(one) for one in file.periods],
        )


class LinesView(View):
    """Records that one write will send. `hidden` columns are redacted for the caller."""

    step: str
    columns: Sequence[str]
    hidden: Sequence[str]
    total: int
    rows: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, lines: Lines, first: int, limit: int) -> Self:
        """A part of the records."""
        part = lines.rows[first : first + limit]
        return cls(
            step=lines.step,
            columns=lines.columns,
            hidden=sorted(lines.hidden),
            total=len(lines.rows),
            rows=part,
        )
