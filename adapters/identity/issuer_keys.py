"""The public keys that an issuer signs tokens with, as OpenID Connect Discovery 1.0 publishes them."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from adapters.identity.documents import Documents
from kernel.errors import Unavailable

if TYPE_CHECKING:
    from jwt import PyJWK

logger = logging.getLogger(__name__)

FRESH_SECONDS = 3_600.0
"""Microsoft rolls keys over at any time and recommends to look once a day or more often:
learn.microsoft.com/entra/identity-platform/signing-key-rollover."""
STALE_SECONDS = 86_400.0
"""For how long keys are good when the issuer cannot be asked."""
AGAIN_SECONDS = 60.0
"""How soon an issuer is asked again that did not have a key, or did not answer."""
ALGORITHMS: Mapping[str, str] = MappingProxyType({"RSA": "RS256", "EC": "ES256"})
"""By type of key, the one algorithm that it is used with. Keys of other types, shared secrets among them, are
not looked at."""


@dataclass(frozen=True)
class _Found:
    keys: Mapping[str, "PyJWK"]
    at: float


class IssuerKeys:
    """Keys of the issuer `{authority}/{tenant}/v2.0`, by tenant."""

    def __init__(self, authority: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._authority, self._monotonic = authority, monotonic
        self._documents = Documents("The issuer of tokens")
        self._found: dict[str, _Found] = {}
        self._asked_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def issuer(self, tenant: str) -> str:
        """The issuer's name for itself."""
        return f"{self._authority}/{tenant}/v2.0"

    def key(self, tenant: str, key_id: str) -> "PyJWK | None":
        """The key; asks the issuer when its keys are old, or it may have a new one. Raises `Unavailable`.

        `tenant` must be one that is allowed: an address is made of it.
        """
        with self._lock:
            if self._is_due(tenant, key_id):
                self._renew(tenant)
            found = self._found.get(tenant)
            if found is None or self._monotonic() - found.at > STALE_SECONDS:
                said = (
                    f"The keys of {self.issuer(tenant)} cannot be read now, so that no token can be checked."
                )
                raise Unavailable(said, retry_after=AGAIN_SECONDS)
            return found.keys.get(key_id)

    def _is_due(self, tenant: str, key_id: str) -> bool:
        """Never soon again: anybody can send tokens with keys that nobody has."""
        now, found = self._monotonic(), self._found.get(tenant)
        if tenant in self._asked_at and now - self._asked_at[tenant] < AGAIN_SECONDS:
            return False
        return found is None or now - found.at > FRESH_SECONDS or key_id not in found.keys

    def _renew(self, tenant: str) -> None:
        self._asked_at[tenant] = self._monotonic()
        try:
            self._found[tenant] = _Found(self._read(tenant), self._monotonic())
        except Unavailable as exc:  # the keys that are there stay good for a while
            logger.warning("keys of an issuer: %s", exc.message)

    def _read(self, tenant: str) -> Mapping[str, "PyJWK"]:
        issuer = self.issuer(tenant)
        document = self._documents.get(f"{issuer}/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise Unavailable(f"What {issuer} publishes is of another issuer; correct SLUICE_AUTHORITY.")
        return _usable(self._documents.get(str(document.get("jwks_uri"))).get("keys"))


def _usable(keys: Any) -> Mapping[str, "PyJWK"]:
    """Keys that are for signatures, by id; a key that cannot be read is none."""
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    usable = {}
    for key in keys if isinstance(keys, list) else ():
        algorithm = ALGORITHMS.get(key.get("kty"))
        if algorithm is None or key.get("use", "sig") != "sig" or "kid" not in key:
            continue
        try:
            usable[str(key["kid"])] = PyJWK(key, algorithm=algorithm)
        except PyJWTError:
            continue
    return usable
