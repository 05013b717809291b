"""The endpoint that people and programs watch a run with."""

import base64
import binascii
import re
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from commands.watching import MAX_WAIT, Event, EventType, Seen, watch
from kernel.errors import InvalidRequest
from triggers.http import Answer, Endpoint, Request
from triggers.views import ChildView, ProgressView, View

_SECONDS = re.compile(r"[0-9]{1,2}")


class LettersView(View):
    """How many records a step has set aside, those of its chunks included, and how many of them wait for
    someone."""

    kept: int
    open: int


class EventView(View):
    """One thing that has happened to a run. `type` says what, and which of the other fields there are:

    `run`, `step`: another state, `before` null where it begins; `progress`: how far a dispatch is;
    `dead_letters`: by step, what was set aside; `children`: the runs that steps have started; `final`: the
    run has ended and all has been told."""

    type: EventType
    at: datetime
    step: str | None = None
    before: str | None = None
    state: str | None = None
    actor: str | None = None
    progress: ProgressView | None = None
    dead_letters: dict[str, LettersView] | None = None
    children: list[ChildView] | None = None

    @classmethod
    def of(cls, event: Event) -> "EventView":
        """The view of an event."""
        return cls.model_validate(event)


class FeedView(View):
    """What has happened since. Pass `next` as `after` to get what follows; stop behind an event `final`."""

    events: list[EventView]
    next: str


class _Cursor(BaseModel):
    """What a caller has seen, as they carry it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    run: UUID
    numbers: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(max_length=1_000)]
    counts: dict[str, str]
    at: AwareDatetime | None

    def seen(self) -> Seen:
        """What it says."""
        return Seen(self.run, tuple(self.numbers), self.counts, self.at)


def events(request: Request) -> Answer:
    """What has happened to a run since the caller looked last."""
    seen = _seen(request, request.id("id"))
    told = watch(request.deployment, seen, _wait(request))
    headers = {"Retry-After": "1"} if told.crowded else {}
    view = FeedView(events=[EventView.of(event) for event in told.events], next=_cursor(told.seen))
    return Answer(view, 200, headers)


def _cursor(seen: Seen) -> str:
    values: dict[str, Any] = {
        "run": seen.run_id, "numbers": list(seen.numbers), "counts": dict(seen.counts), "at": seen.at,
    }  # fmt: skip
    return base64.urlsafe_b64encode(_Cursor(**values).model_dump_json().encode()).decode()


def _seen(request: Request, run_id: UUID) -> Seen:
    text = request.query("after")
    if text is None:
        return Seen(run_id)
    try:
        seen = _Cursor.model_validate_json(base64.urlsafe_b64decode(text)).seen()
    except (binascii.Error, ValidationError, ValueError) as exc:
        raise InvalidRequest("`after` is not one of ours; start again without it.") from exc
    if seen.run_id != run_id:
        raise InvalidRequest("`after` is of another run; start again without it.")
    return seen


def _wait(request: Request) -> timedelta:
    most = int(MAX_WAIT.total_seconds())
    text = request.query("wait") or str(most)
    if not _SECONDS.fullmatch(text) or int(text) > most:
        raise InvalidRequest(f"`wait` is {text[:20]!r}; use whole seconds from 0 to {most}.")
    return timedelta(seconds=int(text))


ENDPOINTS = (
    Endpoint(
        "runs_events",
        "GET",
        "runs/{id}/events",
        "What has happened to a run since; waits for it when there is nothing yet",
        events,
        FeedView,
        query={
            "after": "`next` of the answer before; without it, everything",
            "wait": "For how many seconds to wait at most, 0 to 20; by default 20",
        },
        command="get_run",
    ),
)
