"""What the ERP accepted, line by line, on disk before anybody is told of it."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Line:
    """One accepted record. `values` are as they came; numbers with decimals as text, digit by digit."""

    number: int
    resource: str
    key: str
    values: dict[str, Any]

    @property
    def id(self) -> str:
        """What the ERP calls it."""
        return f"L{self.number}"


class Ledger:
    """Lines in an append-only file, each flushed to the disk before `append` returns."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._lines = list(read_lines(path))
        self._by_key = {(line.resource, line.key): line for line in self._lines}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._drop_torn_line()

    def append(self, resource: str, key: str, values: dict[str, Any]) -> Line:
        """Write a line down for good."""
        with self._lock:
            line = Line(len(self._lines) + 1, resource, key, values)
            os.write(self._file, json.dumps(asdict(line)).encode() + b"\n")
            os.fsync(self._file)
            self._lines.append(line)
            self._by_key[resource, key] = line
        return line

    def under(self, resource: str, key: str) -> Line | None:
        """The last line with the key."""
        return self._by_key.get((resource, key))

    def all(self, resource: str) -> list[Line]:
        """The lines of a resource."""
        return [line for line in self._lines if line.resource == resource]

    def _drop_torn_line(self) -> None:
        """A line that a kill cut in two was never answered, so it was never accepted."""
        whole = b"".join(json.dumps(asdict(line)).encode() + b"\n" for line in self._lines)
        os.ftruncate(self._file, len(whole))


def read_lines(path: Path) -> Iterator[Line]:
    """The whole lines of a ledger file, also while its server runs or after it was killed."""
    if path.exists():
        for text in path.read_text().splitlines(keepends=True):
            if text.endswith("\n"):
                yield Line(**json.loads(text))
