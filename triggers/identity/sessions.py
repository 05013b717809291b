"""Signed sessions of people who have signed in on a page of a local machine."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookies import CookieError, SimpleCookie

from kernel.secrets import Secret

COOKIE = "sluice_session"
LASTS = timedelta(hours=12)
_PURPOSE = b"sluice local session 1"


@dataclass(frozen=True)
class Session:
    """Who has signed in, by short name. `id` is different each time: what else belongs to the session, such
    as the token of a form, is bound to it."""

    id: str
    person: str
    expires_at: datetime


class Sessions:
    """Makes and reads session cookies. The key that signs them is derived from `secret`, 32 random bytes in
    base64, so that it is of no use elsewhere."""

    def __init__(self, secret: Secret) -> None:
        self._key = hmac.digest(base64.b64decode(secret.reveal()), _PURPOSE, hashlib.sha256)

    def begin(self, person: str, now: datetime) -> str:
        """The value of the `Set-Cookie` header that signs a person in."""
        said = {"id": secrets.token_urlsafe(16), "person": person, "expires": (now + LASTS).isoformat()}
        content = _encoded(json.dumps(said).encode())
        seconds = int(LASTS.total_seconds())
        return f"{COOKIE}={content}.{self._seal(content)}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}"

    @staticmethod
    def end() -> str:
        """The value of the `Set-Cookie` header that signs a person out."""
        return f"{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"

    def read(self, cookies: str, now: datetime) -> Session | None:
        """The session in a `Cookie` header; `None` when there is none that we made and that still lasts."""
        content, _, seal = _cookie(cookies).partition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(content).encode()):
            return None
        try:
            said = json.loads(base64.urlsafe_b64decode(content))
        except (binascii.Error, ValueError):
            return None
        session = Session(said["id"], said["person"], datetime.fromisoformat(said["expires"]))
        return session if now < session.expires_at else None

    def _seal(self, content: str) -> str:
        return _encoded(hmac.digest(self._key, content.encode(), hashlib.sha256))


def _cookie(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()
