"""Endpoints for the outbox of messages, and the timer that empties it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import azure.durable_functions as df
import azure.functions as func

from commands.deployment import Deployment
from commands.notifying import resend_notification, send_due
from store.notifications import Notification, NotificationFilter, list_notifications
from triggers.filters import PAGING, id_of, state_of
from triggers.http import Answer, Endpoint, Request
from triggers.views import Page, View
from workflows.states import NotificationState

EVERY = "*/15 * * * * *"
"""The engine sends what it announces right away; outcomes, comments, reminders and repeated attempts wait for
this timer. Somebody who waits for a decision notices a minute; an index is all that an idle look costs."""


class NotificationView(View):
    """A message to one addressee, or with no `channel` an announcement to several. No mail addresses."""

    id: UUID
    approval_id: UUID
    kind: str
    level: int
    channel: str | None
    addressee: str | None
    announcement: UUID | None
    state: NotificationState
    attempts: int
    next_at: datetime
    failure: Mapping[str, Any] | None
    created_at: datetime
    sent_at: datetime | None

    @classmethod
    def of(cls, row: Notification) -> Self:
        """The view of a stored notification."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


def index(request: Request) -> Answer:
    """Messages and announcements, newest first."""
    before = id_of(request, "cursor")
    wanted = NotificationFilter(state_of(request, NotificationState), id_of(request, "approval"), before)
    with request.deployment.database.reading() as connection:
        rows = list_notifications(connection, wanted, request.limit + 1)
    return Answer(Page[NotificationView].cut(rows, request.limit, NotificationView.of))


def send(request: Request) -> Answer:
    """Have a message tried again that was given up."""
    row = resend_notification(request.deployment, request.id("id"), request.person)
    return Answer(NotificationView.of(row), 202)


def register_timer(blueprint: df.Blueprint, deployment: Deployment) -> None:
    """The timer that sends what is due."""

    @blueprint.function_name("send_notifications")
    @blueprint.timer_trigger(arg_name="timer", schedule=EVERY)
    def send_notifications(timer: func.TimerRequest) -> None:
        send_due(deployment)


ENDPOINTS = (
    Endpoint(
        "notifications_list",
        "GET",
        "notifications",
        "Messages about approvals, newest first",
        index,
        Page[NotificationView],
        query={"state": "Only in this state", "approval": "Only about this approval", **PAGING},
        command="list_notifications",
    ),
    Endpoint(
        "notifications_send",
        "POST",
        "notifications/{id}/send",
        "Try a message again that was given up",
        send,
        NotificationView,
        status=202,
        command="resend_notification",
    ),
)
