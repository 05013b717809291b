"""The outbox of messages about approvals: announced, expanded into one for each addressee, claimed, settled.

Whoever sends holds a claim, on lease: when its process dies, the message is claimed again once the lease is
over. A message whose sender died after it was handed over is therefore sent twice; one that was announced is
never sent zero times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, or_, select
from sqlalchemy.dialects.postgresql import insert

from kernel.errors import NotFound
from kernel.ids import new_id
from store.approval_tables import notification
from store.driver import as_json, execute
from workflows.states import NotificationState, predecessors

LEASE = timedelta(minutes=2)
"""Longer than handing over one message takes, with the time limits of the channels."""

_row = notification.c


@dataclass(frozen=True)
class Notification:
    """One message, or with no `channel` an announcement that is still to be expanded.

    `level` tells announcements of one kind apart: the escalation, or the number of the comment. `address` is
    where an addressee is reached; it is personal data and not for logs.
    """

    id: UUID
    approval_id: UUID
    kind: str
    level: int
    audience: Mapping[str, Any]
    channel: str | None
    addressee: str | None
    address: str | None
    announcement: UUID | None
    state: NotificationState
    attempts: int
    next_at: datetime
    claimed_at: datetime | None
    failure: Mapping[str, Any] | None
    created_at: datetime
    sent_at: datetime | None

    def __repr__(self) -> str:
        return f"Notification({self.id}, {self.kind}, {self.channel}, {self.state})"


@dataclass(frozen=True)
class Recipient:
    """Who gets a message by which channel. A channel that reaches a room has no address of its own."""

    channel: str
    addressee: str
    address: str | None = None

    def __repr__(self) -> str:
        return f"Recipient({self.channel}, {self.addressee})"


@dataclass(frozen=True)
class NotificationFilter:
    """What a list may be narrowed to. `before` is the last id of the part before."""

    state: NotificationState | None = None
    approval_id: UUID | None = None
    before: UUID | None = None


def announce(
    connection: Connection, approval_id: UUID, kind: str, audience: Mapping[str, Any],
    now: datetime, level: int = 0,
) -> None:  # fmt: skip
    """Have people told, within the caller's transaction; the same kind and level is announced once.

    `kind` is asked, reminder, escalated, reassigned, outcome, voided or comment; `audience` names `groups`
    and `people` by their ids.
    """
    row = {"id": new_id(), "approval_id": approval_id, "kind": kind, "level": level, "now": now}
    execute(connection, _ANNOUNCE, {**row, "audience": as_json(audience)})


_ANNOUNCE = (
    "INSERT INTO sluice.notification (id, approval_id, kind, level, audience, state, next_at, created_at)"
    " VALUES (%(id)s, %(approval_id)s, %(kind)s, %(level)s, %(audience)s, 'PENDING', %(now)s, %(now)s)"
    " ON CONFLICT (approval_id, kind, level) WHERE announcement IS NULL DO NOTHING"
)


def claim(connection: Connection, now: datetime) -> Notification | None:
    """The message that is due for longest, for the caller alone while the lease lasts; counts an attempt."""
    first = select(_row.id).where(_due(now)).order_by(_row.next_at, _row.id).limit(1)
    first = first.with_for_update(skip_locked=True)
    change = notification.update().where(_row.id == first.scalar_subquery())
    taken = {"claimed_at": now, "attempts": _row.attempts + 1}
    row = connection.execute(change.values(taken).returning(*_columns())).first()
    return None if row is None else _notification(row)


def anything_due(connection: Connection, now: datetime) -> bool:
    """Whether there is a message to claim."""
    return connection.execute(select(_row.id).where(_due(now)).limit(1)).first() is not None


def expand(connection: Connection, claimed: Notification, to: Sequence[Recipient], now: datetime) -> bool:
    """PENDING becomes EXPANDED, with a message for each recipient; done again, it adds only who is new.

    False when the claim was lost.
    """
    if not _settle(connection, claimed, NotificationState.EXPANDED, {}):
        return False
    same = {name: getattr(claimed, name) for name in ("approval_id", "kind", "level", "audience")}
    state = {"state": NotificationState.PENDING, "next_at": now, "created_at": now}
    rows = [
        {"id": new_id(), **same, **vars(one), "announcement": claimed.id, **state}
        for one in dict.fromkeys(to)
    ]  # fmt: skip
    if rows:
        same_one = ["announcement", "channel", "addressee"]
        others = _row.announcement.is_not(None)
        adding = insert(notification).on_conflict_do_nothing(index_elements=same_one, index_where=others)
        connection.execute(adding, rows)
    return True


def mark_sent(connection: Connection, claimed: Notification, now: datetime) -> bool:
    """PENDING becomes SENT; False when the claim was lost."""
    return _settle(connection, claimed, NotificationState.SENT, {"sent_at": now, "failure": None})


def drop(connection: Connection, claimed: Notification, failure: Mapping[str, Any]) -> bool:
    """PENDING becomes DROPPED, with why; False when the claim was lost."""
    return _settle(connection, claimed, NotificationState.DROPPED, {"failure": failure})


def give_up(connection: Connection, claimed: Notification, failure: Mapping[str, Any]) -> bool:
    """PENDING becomes FAILED, with a failure without secrets; False when the claim was lost."""
    return _settle(connection, claimed, NotificationState.FAILED, {"failure": failure})


def postpone(
    connection: Connection, claimed: Notification, next_at: datetime, failure: Mapping[str, Any]
) -> bool:
    """Give the claim back; it is due again at `next_at`. Not a state change. False when it was lost."""
    values = {"next_at": next_at, "claimed_at": None, "failure": failure}
    return _changed(connection, claimed, values)


def send_again(connection: Connection, notification_id: UUID, now: datetime) -> bool:
    """FAILED becomes PENDING with all its attempts; False when it is in another state."""
    fresh = {"state": NotificationState.PENDING, "attempts": 0, "next_at": now, "claimed_at": None}
    allowed = _row.state.in_(predecessors(NotificationState.PENDING))
    change = notification.update().where(_row.id == notification_id, allowed).values(fresh)
    return connection.execute(change).rowcount == 1


def get_notification(connection: Connection, notification_id: UUID) -> Notification:
    """One message or announcement; `NotFound` when there is none."""
    row = connection.execute(_notifications().where(_row.id == notification_id)).first()
    if row is None:
        raise NotFound(f"There is no notification {notification_id}.")
    return _notification(row)


def list_notifications(connection: Connection, wanted: NotificationFilter, limit: int) -> list[Notification]:
    """Messages and announcements that match, newest first."""
    query = _notifications().order_by(_row.id.desc()).limit(limit)
    parts = {_row.state: wanted.state, _row.approval_id: wanted.approval_id}
    query = query.where(*(column == value for column, value in parts.items() if value is not None))
    if wanted.before:
        query = query.where(_row.id < wanted.before)
    return [_notification(row) for row in connection.execute(query)]


def _due(now: datetime) -> ColumnElement[bool]:
    free = or_(_row.claimed_at.is_(None), _row.claimed_at < now - LEASE)
    return (_row.state == NotificationState.PENDING) & (_row.next_at <= now) & free


def _settle(
    connection: Connection, claimed: Notification, state: NotificationState, values: Mapping[str, Any]
) -> bool:
    assert claimed.state in predecessors(state)
    return _changed(connection, claimed, {"state": state, "claimed_at": None, **values})


def _changed(connection: Connection, claimed: Notification, values: Mapping[str, Any]) -> bool:
    mine = (_row.id == claimed.id) & (_row.state == claimed.state)
    mine &= (_row.attempts == claimed.attempts) & (_row.claimed_at == claimed.claimed_at)
    return connection.execute(notification.update().where(mine).values(dict(values))).rowcount == 1


def _columns() -> list[Any]:
    return [_row[part.name] for part in fields(Notification)]


def _notifications() -> Select[Any]:
    return select(*_columns())


def _notification(row: Any) -> Notification:
    return Notification(**{**row._mapping, "state": NotificationState(row.state)})
