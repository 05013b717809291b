"""Delivers what is due of the outbox: announcements become messages, messages are handed over.

A process that dies between handing over and its commit leaves a message that is sent a second time once its
claim has run out, under the same identity; none is ever lost.
"""

import logging
import time
from collections import Counter
from datetime import timedelta
from enum import StrEnum
from typing import Any

from activities.notifying.audience import addressees, recipients
from activities.notifying.occasion import Occasion, read_occasion
from activities.notifying.wording import letter_for
from activities.services import ENGINE, Services
from kernel.errors import ExternalNotFound, InternalError, InvalidData, SluiceError
from kernel.traces import trace_of
from store import notifications
from store.addressees import known_people
from store.notifications import Notification

logger = logging.getLogger(__name__)

ATTEMPTS = 8
"""How often one message is tried: for about three hours, when each try fails."""
_FIRST, _FACTOR, _LONGEST = timedelta(seconds=30), 3, timedelta(hours=1)
_SECONDS = 60.0
"""After so long no further message is begun: whoever delivers may have little time."""
_LIMIT = 50


class Fate(StrEnum):
    """What became of one claim."""

    EXPANDED = "expanded"
    SENT = "sent"
    DROPPED = "dropped"
    RETRIED = "retried"
    FAILED = "failed"
    TAKEN = "taken"
    """Somebody else has it, because this process was too slow."""


def deliver(services: Services, limit: int = _LIMIT) -> dict[str, int]:
    """Handle up to `limit` announcements and messages that are due; returns how many met which fate.

    May run anywhere, twice and at once. Raises `Unavailable` when the database does not answer.
    """
    fates: Counter[Fate] = Counter()
    until = time.monotonic() + _SECONDS
    while fates.total() < limit and time.monotonic() < until:
        with services.database.transaction(ENGINE) as connection:
            claimed = notifications.claim(connection, services.clock())
        if claimed is None:
            break
        fates[_handle(services, claimed)] += 1
    return {str(fate): number for fate, number in fates.items()}


def _handle(services: Services, claimed: Notification) -> Fate:
    """Settle one claim; whatever goes wrong with it is its own failure and keeps no other from being sent."""
    try:
        if claimed.attempts > ATTEMPTS:
            raise InternalError("Whoever was to send this ended before they could say what came of it.")
        with services.database.reading() as connection:
            occasion = read_occasion(connection, claimed)
        if occasion.pointless:
            return _drop(services, claimed, "pointless", occasion.pointless)
        if claimed.channel is None:
            return _expand(services, claimed, occasion)
        return _send(services, claimed, occasion, claimed.channel)
    except SluiceError as exc:
        return _failed(services, claimed, exc)
    except Exception as exc:  # noqa: BLE001 - the outbox's boundary: one bad message must not hold up the rest
        logger.error("notification crashed: %s", trace_of(exc), extra={"notification": str(claimed.id)})
        return _failed(services, claimed, InternalError("Something went wrong here; the log has the trace."))


def _expand(services: Services, claimed: Notification, occasion: Occasion) -> Fate:
    channels = services.postbox.channels
    if not channels:
        return _drop(services, claimed, "no_channel", "This deployment has no channel to tell people by.")
    with services.database.reading() as connection:
        people = addressees(connection, occasion, services.directory)
    to = list(recipients(occasion, people, channels))
    if not to and occasion.asks and not occasion.decisions:
        raise ExternalNotFound("Nobody of those to be asked is known. Correct the groups or the directory.")
    with services.database.transaction(ENGINE) as connection:
        kept = notifications.expand(connection, claimed, to, services.clock())
    return Fate.EXPANDED if kept else Fate.TAKEN


def _send(services: Services, claimed: Notification, occasion: Occasion, channel: str) -> Fate:
    postbox = services.postbox
    if channel not in postbox.channels:
        return _drop(services, claimed, "no_channel", f"This deployment no longer has the channel {channel}.")
    letter = letter_for(claimed, occasion, postbox.links, services.environment, postbox.zone)
    postbox.channels[channel].send(letter, claimed.address or _address(services, claimed))
    with services.database.transaction(ENGINE) as connection:
        kept = notifications.mark_sent(connection, claimed, services.clock())
    logger.info("notification sent", extra={"notification": str(claimed.id), "channel": channel})
    return Fate.SENT if kept else Fate.TAKEN


def _address(services: Services, claimed: Notification) -> str | None:
    """Where the addressee is reached who had no address when they were named."""
    with services.database.reading() as connection:
        known = known_people(connection, [claimed.addressee or ""]).get(claimed.addressee or "")
    return known.email if known else None


def _drop(services: Services, claimed: Notification, code: str, why: str) -> Fate:
    with services.database.transaction(ENGINE) as connection:
        kept = notifications.drop(connection, claimed, {"code": code, "message": why})
    return Fate.DROPPED if kept else Fate.TAKEN


def _failed(services: Services, claimed: Notification, error: SluiceError) -> Fate:
    now, failure = services.clock(), _failure(error)
    final = isinstance(error, InvalidData) or claimed.attempts >= ATTEMPTS
    with services.database.transaction(ENGINE) as connection:
        if final:
            kept = notifications.give_up(connection, claimed, failure)
        else:
            kept = notifications.postpone(connection, claimed, now + pause(claimed.attempts, error), failure)
    logger.warning(
        "notification not sent",
        extra={"notification": str(claimed.id), "code": error.code, "channel": claimed.channel},
    )
    return (Fate.FAILED if final else Fate.RETRIED) if kept else Fate.TAKEN


def pause(attempts: int, error: SluiceError) -> timedelta:
    """How long to wait after so many attempts; longer when the service says so."""
    own = min(_FIRST * int(_FACTOR ** min(attempts - 1, 10)), _LONGEST)
    return max(own, timedelta(seconds=error.retry_after or 0))


def _failure(error: SluiceError) -> dict[str, Any]:
    """What may be kept of a failure: our own words, no values."""
    return {"code": error.code, "message": error.message}
