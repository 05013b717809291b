"""Lists of requests for approval, page by page, with the names of people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from commands.deployment import Deployment
from commands.permissions import permit
from kernel.people import Person
from store import approvals, decisions
from store.approvals import ApprovalFilter, ApprovalRow
from workflows.states import ApprovalState

OPEN = (ApprovalState.REQUESTED,)
ENDED = (ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.EXPIRED, ApprovalState.CANCELLED)


@dataclass(frozen=True)
class Wanted:
    """Requests in these states, of any when none is named; `mine` are only those that the viewer may decide
    now. `after` is the last request of the page before."""

    states: Sequence[ApprovalState] = ()
    mine: bool = False
    run_id: UUID | None = None
    after: UUID | None = None


@dataclass(frozen=True)
class Listed:
    """A page of requests, newest first; `names` are people's by id, `following` is where the next page
    begins."""

    rows: Sequence[ApprovalRow]
    names: Mapping[str, str]
    following: UUID | None


def list_page(deployment: Deployment, wanted: Wanted, person: Person, limit: int) -> Listed:
    """A page of at most `limit` requests. Raises `NotFound` when nobody knows the one it is to follow."""
    permit(person, "list_approvals")
    with deployment.database.reading() as connection:
        chosen = _filter(connection, wanted, person)
        rows = approvals.list_approvals(connection, chosen, limit + 1)
        shown = rows[:limit]
        ids = {str(row.summary["requested_by"]) for row in shown if row.summary.get("requested_by")}
        names = decisions.names_of(connection, sorted(ids))
    return Listed(shown, names, shown[-1].id if len(rows) > limit else None)


def _filter(connection: Connection, wanted: Wanted, person: Person) -> ApprovalFilter:
    before = None if wanted.after is None else _place(connection, wanted.after)
    if not wanted.mine:
        return ApprovalFilter(wanted.states, wanted.run_id, before=before)
    names = [*sorted(person.groups), f"person:{person.id}"]
    return ApprovalFilter(OPEN, wanted.run_id, names, person.id, before)


def _place(connection: Connection, after: UUID) -> tuple[datetime, UUID]:
    last = approvals.get_approval(connection, after)
    return last.requested_at, last.id
