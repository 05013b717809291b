"""The page that lists requests for approval."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from urllib.parse import urlencode
from uuid import UUID

from commands.approval_lists import ENDED, OPEN, Listed, Wanted, list_page
from console.visit import Answer, Page, Visit
from kernel.errors import NotFound
from workflows.states import ApprovalState

PAGE = 25
VIEWS: Mapping[str, Wanted] = MappingProxyType(
    {"mine": Wanted(OPEN, mine=True), "waiting": Wanted(OPEN), "decided": Wanted(ENDED)}
)
_TITLES: Mapping[str, str] = MappingProxyType(
    {"mine": "Waiting for you", "waiting": "All waiting", "decided": "Decided"}
)
_EMPTY: Mapping[str, str] = MappingProxyType(
    {
        "mine": "Nothing waits for your decision.",
        "waiting": "Nothing waits for anybody's decision.",
        "decided": "Nothing has been decided yet.",
    }
)


def show(visit: Visit, size: int = PAGE) -> Answer:
    """The requests of one view: those that wait for the visitor, all that wait, or those that have ended."""
    view = visit.query("view") if visit.query("view") in VIEWS else "mine"
    state = _state(visit.query("state")) if view == "decided" else None
    wanted = VIEWS[view] if state is None else Wanted((state,))
    listed = _listed(visit, wanted, size)
    kept = {"view": view, **({"state": state.value.lower()} if state else {})}
    following = {**kept, "after": str(listed.following)} if listed.following else None
    content = {
        "views": _TITLES,
        "view": view,
        "state": state,
        "states": ENDED,
        "listed": listed,
        "now": visit.now,
        "empty": _EMPTY[view],
        "more": f"/approvals?{urlencode(following)}" if following else None,
        "first": f"/approvals?{urlencode(kept)}" if visit.query("after") else None,
    }
    return Page("approvals.html", content)


def _listed(visit: Visit, wanted: Wanted, size: int) -> Listed:
    """The page that was asked for; the first one when nobody knows the request that it is to follow."""
    after = _cursor(visit.query("after"))
    try:
        return list_page(visit.deployment, replace(wanted, after=after), visit.person, size)
    except NotFound:
        return list_page(visit.deployment, wanted, visit.person, size)


def _state(text: str) -> ApprovalState | None:
    return next((state for state in ENDED if state.value == text.upper()), None)


def _cursor(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
