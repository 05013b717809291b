"""Small values made once and then kept in a file: passwords, account keys, port numbers."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock

from kernel.errors import Unavailable


class ValueFile:
    """A JSON object of strings that only its owner can read. Threads of one process may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = RLock()

    def get(self, name: str) -> str | None:
        """The value kept under this name, if there is one."""
        with self._lock:
            return self._read().get(name)

    def recall(self, name: str, make: Callable[[], str]) -> str:
        """The value kept under this name; made and kept now if there is none."""
        with self._lock:
            known = self.get(name)
            return known if known is not None else self.keep(name, make())

    def keep(self, name: str, value: str) -> str:
        """Replace the value kept under this name, and return it."""
        with self._lock:
            self._write({**self._read(), name: value})
            return value

    def _read(self) -> dict[str, str]:
        try:
            values = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as exc:
            raise Unavailable(f"Cannot read {self._path} ({type(exc).__name__}): {self._remedy()}") from exc
        if not isinstance(values, dict):
            raise Unavailable(f"{self._path} does not hold a JSON object: {self._remedy()}")
        return {str(name): str(value) for name, value in values.items()}

    def _remedy(self) -> str:
        return f"make it readable for you, or remove the folder {self._path.parent} to start afresh."

    def _write(self, values: Mapping[str, str]) -> None:
        draft = self._path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(values, file, indent=2, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
