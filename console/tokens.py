"""Tokens of forms: that a form was made by us, for this browser, this person and this purpose, and lately.

A page of another site can make a browser send a form, but cannot know such a token.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookies import CookieError, SimpleCookie

from kernel.errors import Forbidden
from kernel.secrets import Secret

LASTS = timedelta(hours=4)
_PURPOSE = b"sluice form token 1"
_BROWSER = re.compile(r"[A-Za-z0-9_-]{32}")
_WHEN = re.compile(r"[0-9]{1,12}")


class FormTooOld(Forbidden):
    """A form that was genuine but stood open for too long."""

    code = "form_too_old"


@dataclass(frozen=True)
class Browser:
    """A browser by a random id in a cookie. `set_cookie` is the header for one that had none."""

    id: str
    set_cookie: str | None


class FormTokens:
    """Makes and checks tokens. Their key is derived from `secret`, 32 random bytes in base64, so that it is
    of no use elsewhere."""

    def __init__(self, secret: Secret) -> None:
        self._key = hmac.digest(base64.b64decode(secret.reveal()), _PURPOSE, hashlib.sha256)

    @staticmethod
    def browser(cookies: str, *, secure: bool) -> Browser:
        """The browser that sent a `Cookie` header, or a new one. Over HTTPS the cookie's name keeps other
        sites of the same domain from setting it (RFC 6265bis, `__Host-`)."""
        name = "__Host-sluice-form" if secure else "sluice-form"
        known = _cookie(cookies, name)
        if _BROWSER.fullmatch(known):
            return Browser(known, None)
        new = secrets.token_urlsafe(24)
        options = "Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        return Browser(new, f"{name}={new}; {options}")

    def make(self, browser: str, person: str, subject: str, now: datetime) -> str:
        """A token for a form about `subject`."""
        until = str(int((now + LASTS).timestamp()))
        return f"{until}.{self._seal(browser, person, subject, until)}"

    def check(self, token: str, browser: str, person: str, subject: str, now: datetime) -> None:
        """Raise `Forbidden` unless the token was made for exactly this; `FormTooOld` when it was."""
        until, _, seal = token.partition(".")
        expected = self._seal(browser, person, subject, until)
        if not hmac.compare_digest(seal.encode(), expected.encode()) or not _WHEN.fullmatch(until):
            raise Forbidden("The form was not made for you here. Open the page again and send it from there.")
        if now.timestamp() > int(until):
            raise FormTooOld("The form stood open for too long. Nothing was done; look again and send it.")

    def _seal(self, *said: str) -> str:
        content = "\0".join(said).encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, content, hashlib.sha256)).decode().rstrip("=")


def _cookie(cookies: str, name: str) -> str:
    try:
        found = SimpleCookie(cookies).get(name)
    except CookieError:
        return ""
    return found.value if found is not None else ""
