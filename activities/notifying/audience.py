"""Who gets a message: the people of an announcement, by each channel, everyone once."""

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection

from activities.notifying.occasion import Occasion
from adapters.comms.letter import Channel
from kernel.people import Addressee, Directory
from store.addressees import is_person, known_people
from store.notifications import Recipient

_ROOM = "room"
_PERSONAL_ONLY = frozenset({"comment"})
"""Kinds that would only be noise in a room."""


def addressees(connection: Connection, occasion: Occasion, directory: Directory) -> list[Addressee]:
    """The people of the occasion's audience. Raises what the directory raises.

    Who may not decide, or has decided, is not asked to; who wrote a comment knows of it.
    """
    found: dict[str, Addressee] = {}
    for group in occasion.audience.get("groups", ()):
        for member in directory.members(group):
            found.setdefault(member.id, member)
    ids = [one for one in occasion.audience.get("people", ()) if is_person(one) and one not in found]
    known = known_people(connection, ids)
    found |= {one: known.get(one, Addressee(one, "", "")) for one in ids}
    return [one for one in found.values() if one.id not in _left_out(occasion)]


def recipients(
    occasion: Occasion, people: list[Addressee], channels: Mapping[str, Channel]
) -> Iterator[Recipient]:
    """One for each person and personal channel, and one for each room."""
    for name, channel in channels.items():
        if channel.personal:
            yield from (Recipient(name, one.id, one.email or None) for one in people)
        elif occasion.kind not in _PERSONAL_ONLY:
            yield Recipient(name, _ROOM)


def _left_out(occasion: Occasion) -> set[str]:
    if occasion.asks:
        return {*occasion.approval.excluded, *(decided.actor for decided in occasion.decisions)}
    return {occasion.author} if occasion.author else set()
