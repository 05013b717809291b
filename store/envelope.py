"""Envelope encryption: AES-256-GCM under a data key, which the key-encryption key wraps (RFC 3394)."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from kernel.errors import InternalError

KEY_BYTES = 32
_NONCE_BYTES = 12
_WRAPPED_BYTES = KEY_BYTES + 8


class Envelope:
    """Seals and opens bytes. Holds the key-encryption key; its repr shows nothing."""

    __slots__ = ("_key_encryption_key",)

    def __init__(self, key_encryption_key: bytes) -> None:
        if len(key_encryption_key) != KEY_BYTES:
            raise ValueError(
                f"The key-encryption key has {len(key_encryption_key)} bytes; it needs {KEY_BYTES}."
            )
        self._key_encryption_key = key_encryption_key

    def new_wrapped_key(self) -> bytes:
        """A fresh data key, wrapped."""
        return aes_key_wrap(self._key_encryption_key, os.urandom(KEY_BYTES))

    def seal(self, wrapped_key: bytes, plain: bytes, about: str) -> bytes:
        """Encrypt under a wrapped data key. `about` names what it belongs to and is needed to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._unwrap(wrapped_key)).encrypt(nonce, plain, about.encode())

    def open(self, wrapped_key: bytes, sealed: bytes, about: str) -> bytes:
        """The inverse of `seal`; `InternalError` when key, bytes or `about` do not belong together."""
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self._unwrap(wrapped_key)).decrypt(nonce, body, about.encode())
        except InvalidTag as exc:
            raise InternalError(
                f"The sealed data of {about} cannot be opened: it was changed or moved."
            ) from exc

    def seal_alone(self, plain: bytes, about: str) -> bytes:
        """Encrypt under a key of its own that travels, wrapped, in front."""
        wrapped = self.new_wrapped_key()
        return wrapped + self.seal(wrapped, plain, about)

    def open_alone(self, sealed: bytes, about: str) -> bytes:
        """The inverse of `seal_alone`."""
        return self.open(sealed[:_WRAPPED_BYTES], sealed[_WRAPPED_BYTES:], about)

    def _unwrap(self, wrapped_key: bytes) -> bytes:
        try:
            return aes_key_unwrap(self._key_encryption_key, wrapped_key)
        except InvalidUnwrap as exc:
            raise InternalError("A data key does not open: the key-encryption key is another one.") from exc
