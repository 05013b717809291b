"""Where credentials live. Locally a JSON file of mode 600 that git ignores."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from kernel.errors import AuthenticationFailed, Fault, InvalidSettings
from kernel.secrets import Secret

CACHE_SECONDS = 300


class FileVault:
    """Secrets in a JSON object of names and values, read again after at most five minutes."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._cached: dict[str, Secret] = {}
        self._read_at: float | None = None

    def secret(self, name: str) -> Secret:
        """The secret of that name; `AuthenticationFailed` when the file has none."""
        fresh = self._read_at is not None and self._clock() - self._read_at < CACHE_SECONDS
        if not fresh or name not in self._cached:
            self._cached, self._read_at = self._read(), self._clock()
        try:
            return self._cached[name]
        except KeyError as exc:
            fault = Fault("no_secret", f"{self._path.name} has no secret {name!r}.", hint="Add it there.")
            raise AuthenticationFailed("A credential is missing.", faults=[fault]) from exc

    def _read(self) -> dict[str, Secret]:
        try:
            data = dict(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return {}
        except (OSError, TypeError, ValueError) as exc:
            raise InvalidSettings(f"The secrets file {self._path} cannot be read as a JSON object.") from exc
        return {name: Secret(value) for name, value in data.items() if isinstance(value, str)}

    def __repr__(self) -> str:
        return f"FileVault({self._path.name!r})"
