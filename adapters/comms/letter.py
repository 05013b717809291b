"""What is said to one addressee, whatever the channel; and what a channel is."""

import unicodedata
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

_LONGEST_SUBJECT = 180

type Lines = tuple[tuple[str, str], ...]
"""Labels with their values."""


@dataclass(frozen=True)
class Letter:
    """One message. `details` are labels with their values, `sections` more of them under a title; `link` is
    the only link in it.

    `id` is the notification's: whatever a channel calls the message is derived from it, so that a repeated
    message can be recognised. The texts are plain; each channel escapes them for its own format.
    """

    id: UUID
    subject: str
    headline: str
    intro: str
    link: str = field(repr=False)
    action: str = "Open"
    reason: str = ""
    details: Lines = field(default=(), repr=False)
    sections: tuple[tuple[str, Lines], ...] = field(default=(), repr=False)
    note: str = ""

    @property
    def lines(self) -> Lines:
        """All labels with their values, for channels without titles."""
        return (*self.details, *(line for _, lines in self.sections for line in lines))


class Channel(Protocol):
    """A way to reach people. `personal` channels write to an address, others to one room for all."""

    @property
    def personal(self) -> bool:
        """Whether each addressee gets a message of their own."""
        ...

    def send(self, letter: Letter, address: str | None) -> None:
        """Hand the letter over; afterwards it has been accepted, not yet read.

        Raises `kernel.errors.InvalidData` when exactly this letter is refused, and other `ExternalError`s;
        with `InDoubt` it may have been accepted. No text quotes an address or a credential.
        """
        ...


def plain(text: str, longest: int = 2000) -> str:
    """One line of text without control or invisible direction characters, of at most `longest` characters."""
    visible = "".join(_SPACE if _breaks(character) else character for character in text)
    line = " ".join(visible.split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def subject_line(text: str) -> str:
    """The text, fit for a subject: nothing in it can begin another header."""
    return plain(text, _LONGEST_SUBJECT) or "(no subject)"


_SPACE = " "
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")
"""Invisible, but part of how words and emoji are written."""


def _breaks(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN and character not in _JOINERS
