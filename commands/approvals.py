"""What somebody sees of requests for approval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from commands.deciding import question_of
from commands.deployment import Deployment
from commands.permissions import permit
from kernel.people import Person
from kernel.records import ColumnKind, Records
from kernel.redaction import redact_record
from store import approvals, decisions, runs
from store.approvals import ApprovalRow
from store.contexts import ContextStore
from store.dead_letters import DeadLetter, LetterFilter, list_letters
from store.decisions import CommentRow, DecisionRow
from store.earlier_runs import EarlierRun, last_confirmed
from store.runs import RunRow
from workflows.deciding import Standing, asked_by, standing_of
from workflows.rows import plain
from workflows.states import ApprovalState

SHOWN_EXCEPTIONS = 50
_NUMBERS = frozenset({ColumnKind.INTEGER, ColumnKind.DECIMAL})


@dataclass(frozen=True)
class Lines:
    """The records that one write will send, as the viewer may see them; `hidden` are redacted columns,
    `numbers` those that hold numbers."""

    step: str
    columns: Sequence[str]
    key: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    hidden: frozenset[str]
    numbers: frozenset[str]


@dataclass(frozen=True)
class Period:
    """How a measure of a write compares with the last confirmed run. Numbers are exact text."""

    step: str
    name: str
    before: str
    now: str
    difference: str


@dataclass(frozen=True)
class ApprovalFile:
    """Everything about one request that its page shows to one viewer.

    `standing` is how the viewer stands to it, `asked_as` the names by which they are asked, `names` are
    people's names by id; `exceptions` are records that were set aside, `lines` is empty once the run has
    ended; `replaced_by` is the request that was made in its place.
    """

    approval: ApprovalRow
    run: RunRow
    standing: Standing
    asked_as: Sequence[str]
    said: Sequence[DecisionRow]
    comments: Sequence[CommentRow]
    names: Mapping[str, str]
    exceptions: Sequence[DeadLetter]
    lines: Sequence[Lines]
    earlier: EarlierRun | None
    periods: Sequence[Period]
    replaced_by: UUID | None = None

    @property
    def still_needed(self) -> int:
        """How many more people have to agree."""
        if self.approval.state is not ApprovalState.REQUESTED:
            return 0
        return max(0, self.approval.quorum - sum(1 for one in self.said if one.decision == "approve"))


def open_file(
    deployment: Deployment, approval_id: UUID, person: Person, *, records: bool = True
) -> ApprovalFile:
    """One request with everything that helps to decide it; without `records`, without those that would be
    written, those that were set aside, and the request made in its place. Raises `NotFound`."""
    permit(person, "get_approval")
    with deployment.database.reading() as connection:
        row = approvals.get_approval(connection, approval_id)
        run = runs.get_run(connection, row.run_id)
        said = decisions.decisions_of(connection, row.id)
        comments = decisions.comments_of(connection, row.id)
        earlier = last_confirmed(connection, run)
        mine = LetterFilter(run_id=run.id, chunk_id=row.chunk_id)
        letters = list_letters(connection, mine, SHOWN_EXCEPTIONS) if records else []
        names = _names(connection, row, run, said, comments)
        replaced_by = approvals.replacement_of(connection, row) if records else None
    question = question_of(row, said)
    asked_as = asked_by(question, person.id, person.groups)
    standing = standing_of(question, person.id, person.groups, deployment.clock())
    lines = lines_of(deployment, row, may_see=bool(asked_as)) if records else []
    periods = _periods(row, earlier)
    return ApprovalFile(
        row, run, standing, asked_as, said, comments, names, letters, lines, earlier, periods, replaced_by
    )


def lines_of(deployment: Deployment, row: ApprovalRow, *, may_see: bool) -> list[Lines]:
    """The records that would be written, sensitive values redacted unless the viewer may see them: whoever
    is asked decides about them."""
    contexts = ContextStore(deployment.blobs, deployment.envelope)
    found = contexts.load_lines(deployment.database, row.run_id, row.execution, row.id)
    keys = {write["step"]: write.get("key", []) for write in row.summary.get("writes", [])}
    lines = []
    for step, output in found.items():
        if output.records is not None:
            hidden = frozenset() if may_see else frozenset(output.sensitive)
            lines.append(_lines(step, output.records, keys.get(step, []), hidden))
    return lines


def _lines(step: str, records: Records, key: Sequence[str], hidden: frozenset[str]) -> Lines:
    columns = [column.name for column in records.columns]
    rows = [
        redact_record({name: plain(value) for name, value in row.items()}, hidden) for row in records.rows
    ]
    numbers = frozenset(column.name for column in records.columns if column.kind in _NUMBERS)
    return Lines(step, columns, key, rows, hidden.intersection(columns), numbers - hidden)


def _names(
    connection: Connection, row: ApprovalRow, run: RunRow, said: Sequence[DecisionRow],
    comments: Sequence[CommentRow],
) -> dict[str, str]:  # fmt: skip
    ids = {run.requested_by, *row.excluded, *(one.actor for one in said), *(one.actor for one in comments)}
    known = decisions.names_of(connection, sorted(ids))
    return {one: known.get(one, one) for one in ids}


def _periods(row: ApprovalRow, earlier: EarlierRun | None) -> list[Period]:
    found = []
    for write in row.summary.get("writes", []) if earlier is not None else ():
        assert earlier is not None
        stored = earlier.measures.get(write.get("source", ""), {})
        now = {"records": str(write["records"]), **write["measures"]}
        for name, value in now.items():
            before = _accepted(stored.get(name))
            if before is not None:
                difference = format(Decimal(value) - before, "+f")
                found.append(Period(write["step"], name, format(before, "f"), value, difference))
    return found


def _accepted(parts: Any) -> Decimal | None:
    """A stored measure without what was rejected of it."""
    if not isinstance(parts, Mapping) or "total" not in parts:
        return None
    return Decimal(str(parts["total"])) - Decimal(str(parts.get("rejected", 0)))
