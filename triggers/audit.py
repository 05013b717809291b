"""Endpoints for auditors."""

import base64
import binascii
import re
from datetime import datetime
from typing import Any

from pydantic import Field

from commands.auditing import verify_audit
from kernel.errors import InvalidRequest
from store.audit_chain import StreamReport, Tampering
from store.audit_events import AuditEvent, EventFilter, Position, list_events
from triggers.http import Answer, Endpoint, Request
from triggers.views import Page, View

_FOREIGN_CURSOR = "The cursor is not one of ours; start again without it."
_CURSOR = re.compile(r"(?P<at>[^|]+)\|(?P<id>[0-9]{1,18})")
_FILTERS = ("stream", "actor", "action", "subject")


class AuditEventView(View):
    """Who did what to what. `hash` covers all of it, with the hash of the event before it in its stream."""

    stream: str
    sequence: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]
    previous_hash: str
    hash: str

    @classmethod
    def of(cls, event: AuditEvent) -> "AuditEventView":
        """The view of an event."""
        return cls.model_validate(event)


class BrokenView(View):
    """One place at which a stream is not what was written. `last` ends a range of sequence numbers."""

    sequence: int
    last: int | None
    fault: Tampering
    detail: str


class StreamView(View):
    """One stream: how many events there are, and the sequence number of the last that was written. Without
    `complete` it has more faults than are listed."""

    stream: str
    events: int
    head: int | None
    complete: bool
    broken: list[BrokenView]

    @classmethod
    def of(cls, report: StreamReport) -> "StreamView":
        """The view of a report."""
        return cls.model_validate(report)


class VerificationView(View):
    """Whether every event is there, unchanged and in its place."""

    ok: bool
    streams: list[StreamView] = Field(default_factory=list)


def index(request: Request) -> Answer:
    """Events, newest first."""
    exact = {name: request.query(name) for name in _FILTERS}
    since, until = (_time(request, name) for name in ("since", "until"))
    wanted = EventFilter(**exact, since=since, until=until, before=_position(request.query("cursor")))
    with request.deployment.database.reading() as connection:
        events = list_events(connection, wanted, request.limit + 1)
    return Answer(Page[AuditEventView].cut(events, request.limit, AuditEventView.of, _cursor))


def verify(request: Request) -> Answer:
    """Walk through the streams; what is wrong with them is an answer, not an error."""
    reports = verify_audit(request.deployment, request.query("stream"))
    ok = not any(report.broken for report in reports)
    return Answer(VerificationView(ok=ok, streams=[StreamView.of(report) for report in reports]))


def _time(request: Request, name: str) -> datetime | None:
    text = request.query(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidRequest(
            f"`{name}` is {text[:40]!r}; write a time with its offset, such as 2026-01-31T12:00:00Z "
            "(in an address + is %2B)."
        )
    return found


def _cursor(event: AuditEvent) -> str:
    return base64.urlsafe_b64encode(f"{event.at.isoformat()}|{event.id}".encode()).decode()


def _position(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    try:
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(cursor).decode())
        at = datetime.fromisoformat(found["at"]) if found else None
    except (binascii.Error, ValueError) as exc:
        raise InvalidRequest(_FOREIGN_CURSOR) from exc
    if found is None or at is None or at.tzinfo is None:
        raise InvalidRequest(_FOREIGN_CURSOR)
    return at, int(found["id"])


ENDPOINTS = (
    Endpoint(
        "audit_list",
        "GET",
        "audit",
        "Who did what, newest first",
        index,
        Page[AuditEventView],
        query={
            "stream": "Only this stream",
            "actor": "Only this actor",
            "action": "Only this action; `run.*` is every action that begins with `run.`",
            "subject": "Only this subject: the id of a run, the key of a connector",
            "since": "Only events of this time or later",
            "until": "Only events before this time",
            "cursor": "Where to go on",
            "limit": "Items a page",
        },
        command="list_audit",
    ),
    Endpoint(
        "audit_verify",
        "GET",
        "audit/verify",
        "Prove that no event was changed, removed, inserted or moved",
        verify,
        VerificationView,
        query={"stream": "Only this stream"},
        command="verify_audit",
    ),
)
