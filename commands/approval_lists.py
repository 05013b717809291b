"""Lists of requests for approval, page by page, with the names of people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from commands.approvals import Wanted as Narrowed
from commands.approvals import list_for
from commands.deployment import Deployment
from commands.permissions import permit
from kernel.errors import NotFound
from kernel.people import Person
from store import approvals, decisions
from store.approvals import ApprovalRow
from workflows.states import ApprovalState

OPEN = (ApprovalState.REQUESTED,)
ENDED = (ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.EXPIRED, ApprovalState.CANCELLED)


@dataclass(frozen=True)
class Wanted:
    """Requests in these states; `mine` are only those that the viewer may decide now."""

    states: Sequence[ApprovalState]
    mine: bool = False


@dataclass(frozen=True)
class Listed:
    """A page of requests, newest first; `names` are people's by id, `following` is where the next page
    begins."""

    rows: Sequence[ApprovalRow]
    names: Mapping[str, str]
    following: UUID | None


def list_page(
    deployment: Deployment, wanted: Wanted, person: Person, after: UUID | None, limit: int
) -> Listed:
    """The page after a request; the first one when that is unknown."""
    permit(person, "list_approvals")
    narrowed = Narrowed(wanted.states, wanted.mine, before=_place(deployment, after))
    rows = list_for(deployment, narrowed, person, limit + 1)
    shown = rows[:limit]
    ids = {str(row.summary["requested_by"]) for row in shown if row.summary.get("requested_by")}
    with deployment.database.reading() as connection:
        names = decisions.names_of(connection, sorted(ids))
    return Listed(shown, names, shown[-1].id if len(rows) > limit else None)


def _place(deployment: Deployment, after: UUID | None) -> tuple[object, UUID] | None:
    if after is None:
        return None
    try:
        with deployment.database.reading() as connection:
            last = approvals.get_approval(connection, after)
    except NotFound:
        return None
    return last.requested_at, last.id
