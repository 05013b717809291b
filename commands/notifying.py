"""The outbox of messages, as operators see it and as the timer empties it."""

import logging
from uuid import UUID

from commands.deployment import Deployment
from commands.permissions import permit
from kernel.errors import Conflict
from kernel.people import Person
from store import audit, notifications
from store.notifications import Notification

logger = logging.getLogger(__name__)

STREAM = "notifications"


def send_due(deployment: Deployment) -> None:
    """Send what is due. Most of the time nothing is, and one look at an index says so."""
    with deployment.database.reading() as connection:
        if not notifications.anything_due(connection, deployment.clock()):
            return
    fates = deployment.deliver()
    for fate, number in fates.items():
        deployment.metrics.add("notifications", number, outcome=fate)
    logger.info("notifications handled", extra=dict(fates))


def resend_notification(deployment: Deployment, notification_id: UUID, person: Person) -> Notification:
    """Have a message tried again that was given up: with all its attempts, from now on.

    Raises `NotFound`, and `Conflict` when it was not given up.
    """
    permit(person, "resend_notification")
    now = deployment.clock()
    with deployment.database.transaction(person.id) as connection:
        given_up = notifications.get_notification(connection, notification_id)
        if not notifications.send_again(connection, notification_id, now):
            raise Conflict(f"The notification is {given_up.state}; only one that FAILED is sent again.")
        details = {"approval": str(given_up.approval_id), "kind": given_up.kind, "channel": given_up.channel}
        audit.record(
            connection, stream=STREAM, actor=person.id, action="notification.resent",
            subject=str(notification_id), details=details, now=now,
        )  # fmt: skip
        return notifications.get_notification(connection, notification_id)
