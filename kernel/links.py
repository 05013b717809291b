"""Links in messages: where a page is, and a token that tells which message led there.

A token identifies, it never authorises: whoever follows a link must sign in and be listed. It names no
person, and a forged one only means that nobody knows by which message someone came.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from kernel.secrets import Secret

_PURPOSE = b"sluice approval link v1"
_KEY_ID_BYTES = 4
_ID_BYTES = 16
_LENGTH = _KEY_ID_BYTES + _ID_BYTES + sha256().digest_size


@dataclass(frozen=True)
class Links:
    """Makes and reads links below `base`. The first key signs, all verify: that is how keys are changed."""

    base: str
    keys: Sequence[Secret] = field(default=(), repr=False)
    """Each has 32 bytes or more, as base64."""

    def approval(self, approval_id: UUID, notification_id: UUID) -> str:
        """The address of an approval's page, for the addressee of one message."""
        page = f"{self.base.rstrip('/')}/approvals/{approval_id}"
        return f"{page}?t={self.sign(approval_id, notification_id)}" if self.keys else page

    def sign(self, approval_id: UUID, notification_id: UUID) -> str:
        """A token of 70 URL-safe characters for this approval and this message."""
        key = base64.b64decode(self.keys[0].reveal())
        token = _key_id(key) + notification_id.bytes + _signature(key, approval_id, notification_id)
        return base64.urlsafe_b64encode(token).rstrip(b"=").decode()

    def read_link(self, token: str, approval_id: UUID) -> UUID | None:
        """The message that the token was made for; `None` when it is not one of ours for this approval."""
        content = _decoded(token)
        if content is None:
            return None
        notification_id = UUID(bytes=content[_KEY_ID_BYTES : _KEY_ID_BYTES + _ID_BYTES])
        genuine = False
        for secret in self.keys:  # all of them, whichever fits: the time taken tells nothing
            key = base64.b64decode(secret.reveal())
            expected = _key_id(key) + notification_id.bytes + _signature(key, approval_id, notification_id)
            genuine |= hmac.compare_digest(expected, content)
        return notification_id if genuine else None


def _key_id(key: bytes) -> bytes:
    return hmac.digest(key, b"sluice key id", "sha256")[:_KEY_ID_BYTES]


def _signature(key: bytes, approval_id: UUID, notification_id: UUID) -> bytes:
    return hmac.digest(key, _PURPOSE + approval_id.bytes + notification_id.bytes, "sha256")


def _decoded(token: str) -> bytes | None:
    """The bytes of a token that is spelled in the one way in which we spell it."""
    try:
        content = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    spelled = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    return content if len(content) == _LENGTH and spelled == token else None
