"""Credentials that cannot be printed, compared by accident, serialised or pickled."""

import hmac
from typing import Any, NoReturn, Protocol


class Secret:
    """Holds one credential. `reveal()` is the only way to its value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself; pass it straight to the client that needs it and keep no copy."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return id(self)

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("A Secret cannot be serialised; pass the name of the secret instead.")


class CredentialProvider(Protocol):
    """Gives credentials by name; each call may go to a vault."""

    def secret(self, name: str) -> Secret:
        """The secret's current value.

        Raises `kernel.errors.AuthenticationFailed` when there is none of that name.
        """
        ...


class Witness:
    """A provider that remembers what it gave, so that it can be found in texts in which it must not be."""

    def __init__(self, provider: CredentialProvider) -> None:
        self._provider = provider
        self._given: list[Secret] = []

    def secret(self, name: str) -> Secret:
        """The provider's secret; raises as the provider does."""
        secret = self._provider.secret(name)
        if secret not in self._given:
            self._given.append(secret)
        return secret

    def revealed(self) -> list[str]:
        """The values of all secrets it gave."""
        return [secret.reveal() for secret in self._given]

    def __repr__(self) -> str:
        return f"Witness({self._provider!r})"
