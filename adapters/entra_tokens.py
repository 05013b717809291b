"""Access tokens of this deployment's own identity. Imports azure-identity late."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from kernel.errors import AuthenticationFailed
from kernel.secrets import Secret

if TYPE_CHECKING:
    from azure.identity import DefaultAzureCredential

type Tokens = Callable[[], Secret]
"""Gives a token that is good now; raises `AuthenticationFailed`."""


class EntraTokens:
    """Tokens for one scope, by the managed identity or whatever else azure-identity finds; it keeps them."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._lock = threading.Lock()
        self._credential: DefaultAzureCredential | None = None

    def __call__(self) -> Secret:
        """A token that is good now. Raises `AuthenticationFailed`."""
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import DefaultAzureCredential

        with self._lock:
            self._credential = self._credential or DefaultAzureCredential()
            try:
                return Secret(self._credential.get_token(self._scope).token)
            except ClientAuthenticationError as exc:
                raise AuthenticationFailed(
                    f"This deployment has no identity that may ask for {self._scope}: give it one, and the "
                    "permissions that it needs there."
                ) from exc
