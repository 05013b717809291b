"""What is remembered of a timer from one run of the host to the next."""

import asyncio
import fcntl
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from localhost.host.errors import HostError


@dataclass(frozen=True)
class ScheduleStatus:
    """When a timer fired last, if ever, when it is due next, and from when on that counts. All aware."""

    last: datetime | None
    next: datetime
    updated: datetime

    def to_dict(self) -> dict[str, str]:
        """The form in which Azure hands it to functions."""
        last = self.last or datetime.min.replace(tzinfo=UTC)
        return {
            "Last": last.isoformat(),
            "Next": self.next.isoformat(),
            "LastUpdated": self.updated.isoformat(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ScheduleStatus":
        """The status that `to_dict` wrote."""
        last = datetime.fromisoformat(data["Last"])
        next_, updated = (datetime.fromisoformat(data[name]) for name in ("Next", "LastUpdated"))
        return cls(last if last.year > 1 else None, next_, updated)


class ScheduleStore(Protocol):
    """Keeps schedule statuses and makes sure that only one host fires the timers of an app."""

    async def acquire(self) -> bool:
        """Become the host that fires timers; False while another one is."""
        ...

    async def read(self, function: str) -> ScheduleStatus | None:
        """What was written last for that function."""
        ...

    async def write(self, function: str, status: ScheduleStatus) -> None:
        """Keep the status of that function."""
        ...

    def release(self) -> None:
        """Let another host fire timers."""
        ...


class FileScheduleStore:
    """Implements `ScheduleStore` with one small file per function in a folder, and a lock file.

    A folder stands for an app on a machine, as the host id of Core Tools does: it is made of the machine's
    name and the app's folder. Hosts that share the folder take turns; the lock ends with its process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[str] | None = None

    async def acquire(self) -> bool:
        """See `ScheduleStore`. Raises HostError if the folder cannot be used."""
        if self._lock is None:
            lock = self._open_lock()
            try:
                # The system drops the lock with the process, however that ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    def _open_lock(self) -> IO[str]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return (self._folder / "lock").open("w", encoding="utf-8")
        except OSError as exc:
            raise HostError(
                f"When timers fired cannot be kept in {self._folder}: {exc.strerror}. Make the folder "
                "writable, or name another one with --state."
            ) from exc

    async def read(self, function: str) -> ScheduleStatus | None:
        """See `ScheduleStore`. A file that is not a status counts as none."""
        try:
            text = await asyncio.to_thread(self._path(function).read_text, encoding="utf-8")
            return ScheduleStatus.from_dict(json.loads(text))
        except (FileNotFoundError, ValueError, KeyError):
            return None

    async def write(self, function: str, status: ScheduleStatus) -> None:
        """See `ScheduleStore`."""
        await asyncio.to_thread(self._replace, self._path(function), json.dumps(status.to_dict()))

    def release(self) -> None:
        """See `ScheduleStore`."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _path(self, function: str) -> Path:
        return self._folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', function)}.json"

    @staticmethod
    def _replace(path: Path, text: str) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
