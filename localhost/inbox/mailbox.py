"""Caught mail as files, one for each mail, in the order in which they came."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from kernel.ids import new_id

KEPT = 500
"""So many mails are kept; older ones go."""
_ID = re.compile(r"[0-9a-f]{32}")
_ENVELOPE_TO = "X-Envelope-To"


@dataclass(frozen=True)
class Caught:
    """A mail as it came."""

    id: str
    received_at: datetime
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        return message_from_bytes(self.raw, policy=default)

    def header(self, name: str) -> str:
        """A header's text, empty when there is none."""
        return str(self.message.get(name, ""))

    def part(self, kind: str) -> str:
        """The body of that kind: `plain` or `html`; empty when there is none."""
        body = self.message.get_body((kind,))
        return str(body.get_content()) if body is not None else ""

    @property
    def recipients(self) -> list[str]:
        """Whom the sender's server named, which may be others than the mail says."""
        return [str(name) for name in self.message.get_all(_ENVELOPE_TO, [])]


class Mailbox:
    """The mails in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def add(self, content: bytes, recipients: list[str]) -> None:
        """Keep a mail; it is on disk when this returns."""
        named = "".join(f"{_ENVELOPE_TO}: {one}\r\n" for one in recipients).encode()
        path = self._folder / f"{new_id().hex}.eml"
        draft = path.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(named + content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        for old in self._paths()[KEPT:]:
            old.unlink(missing_ok=True)

    def all(self) -> Iterator[Caught]:
        """The mails, newest first."""
        for path in self._paths():
            if (found := self._read(path)) is not None:
                yield found

    def get(self, mail_id: str) -> Caught | None:
        """One mail, if there is one of that id."""
        return self._read(self._folder / f"{mail_id}.eml") if _ID.fullmatch(mail_id) else None

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.eml"), reverse=True)

    def _read(self, path: Path) -> Caught | None:
        try:
            received = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            return Caught(path.stem, received, path.read_bytes())
        except FileNotFoundError:
            return None
