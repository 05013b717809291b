"""API keys for machines: made once, shown once, kept as a digest."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from commands.deployment import Deployment
from commands.permissions import PERMISSIONS, permit
from kernel.clock import Clock
from kernel.errors import Fault, InvalidRequest, Unauthenticated
from kernel.ids import new_id
from kernel.people import Person, Role
from store import api_keys, audit
from store.api_keys import ApiKeyRow
from store.database import AUTOMATIC, Database

STREAM = "api_keys"
PREFIX = "slu_"
MAX_NAME = 100
LONGEST = timedelta(days=366)
"""A key that lasts longer is forgotten, but still opens the door."""
_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class NewKey:
    """What a key is to be for. `scopes` are names of commands; `None` is all that its roles may."""

    name: str
    roles: Sequence[Role]
    scopes: Sequence[str] | None
    expires_at: datetime


@dataclass(frozen=True)
class MadeKey:
    """A new key, and what its user must send: nobody can find that out again."""

    row: ApiKeyRow
    secret: str = field(repr=False)


def create_api_key(deployment: Deployment, wanted: NewKey, person: Person) -> MadeKey:
    """Make a key. Raises `InvalidRequest` with every fault."""
    permit(person, "create_api_key")
    now = deployment.clock()
    faults = [*_faults(wanted), *_time_faults(wanted.expires_at, now)]
    if faults:
        raise InvalidRequest("The key cannot be made like this.", faults=faults)
    secret, key_id = PREFIX + secrets.token_urlsafe(32), new_id()
    roles = sorted(set(wanted.roles))
    scopes = None if wanted.scopes is None else sorted(set(wanted.scopes))
    values = {
        "id": key_id, "name": wanted.name, "digest": _digest(secret), "roles": roles, "scopes": scopes,
        "created_by": person.id, "created_at": now, "expires_at": wanted.expires_at,
    }  # fmt: skip
    details = {
        "name": wanted.name,
        "roles": roles,
        "scopes": scopes,
        "expires": wanted.expires_at.isoformat(),
    }
    with deployment.database.transaction(person.id) as connection:
        row = api_keys.insert_key(connection, values)
        audit.record(
            connection, stream=STREAM, actor=person.id, action="api_key.created", subject=str(key_id),
            details=details, now=now,
        )  # fmt: skip
    return MadeKey(row, secret)


def revoke_api_key(deployment: Deployment, key_id: UUID, reason: str, person: Person) -> ApiKeyRow:
    """Make a key useless from now on. To do it again changes nothing. Raises `NotFound`."""
    permit(person, "revoke_api_key")
    now = deployment.clock()
    with deployment.database.transaction(person.id) as connection:
        api_keys.get_key(connection, key_id, lock=True)
        if api_keys.revoke_key(connection, key_id, person.id, now):
            audit.record(
                connection, stream=STREAM, actor=person.id, action="api_key.revoked", subject=str(key_id),
                details={"reason": reason}, now=now,
            )  # fmt: skip
        return api_keys.get_key(connection, key_id)


def key_holder(database: Database, clock: Clock, secret: str) -> Person:
    """Who uses a key. Raises `Unauthenticated` for one that is unknown, past its time or revoked.

    A key is found by its digest: comparing takes as long whatever a guess has in common with it.
    """
    now = clock()
    with database.reading() as connection:
        row = api_keys.find_key(connection, _digest(secret))
    if row is None:
        raise Unauthenticated("There is no such API key.")
    if row.revoked_at is not None:
        raise Unauthenticated(f"The API key {row.name!r} was revoked; ask an administrator for another.")
    if row.expires_at <= now:
        when = f"{row.expires_at:%Y-%m-%d %H:%M} UTC"
        raise Unauthenticated(
            f"The API key {row.name!r} expired on {when}; ask an administrator for another."
        )
    if row.last_used_at is None or row.last_used_at < now - _NOTED_EVERY:
        with database.transaction(AUTOMATIC) as connection:
            api_keys.note_use(connection, row.id, now, now - _NOTED_EVERY)
    return Person(f"key:{row.id}", row.name, roles=row.roles, machine=True, scopes=row.scopes)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _faults(wanted: NewKey) -> list[Fault]:
    faults = []
    if not 0 < len(wanted.name.strip()) <= MAX_NAME:
        faults.append(Fault("key_name", f"A name has 1 to {MAX_NAME} characters.", path="/name"))
    if not wanted.roles:
        faults.append(Fault("key_roles", "A key needs a role.", path="/roles"))
    faults += [
        Fault("key_scope", "There is no such command.", path=f"/scopes/{place}", value=scope,
              hint=f"Commands are {', '.join(PERMISSIONS)}.")
        for place, scope in enumerate(wanted.scopes or ())
        if scope not in PERMISSIONS
    ]  # fmt: skip
    return faults


def _time_faults(expires_at: datetime, now: datetime) -> list[Fault]:
    if now < expires_at <= now + LONGEST:
        return []
    said = f"A key lasts at most {LONGEST.days} days from now."
    return [Fault("key_expiry", said, path="/expires_at", value=expires_at.isoformat())]
