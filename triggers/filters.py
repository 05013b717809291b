"""What lists may be narrowed to, read from the query."""

from enum import StrEnum
from uuid import UUID

from kernel.errors import InvalidRequest
from triggers.http import Request

PAGING = {"cursor": "Where to go on", "limit": "Items a page"}


def state_of[State: StrEnum](request: Request, states: type[State]) -> State | None:
    """The state asked for, in any case; `InvalidRequest` names the states there are."""
    text = request.query("state")
    if text is None:
        return None
    try:
        return states(text.upper())
    except ValueError as exc:
        known = ", ".join(states)
        raise InvalidRequest(
            f"`state` is {text[:40]!r}, which is no state here; use one of {known}."
        ) from exc


def id_of(request: Request, name: str) -> UUID | None:
    """A query parameter that is an id; `InvalidRequest` when it cannot be one."""
    text = request.query(name)
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError as exc:
        raise InvalidRequest(f"`{name}` is {text[:40]!r}, which is no id.") from exc
