"""Mail: a letter as text and HTML, handed to whichever service carries mail here."""

from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Protocol
from uuid import UUID

from adapters.comms.letter import Letter, subject_line
from adapters.comms.mail_rendering import MailRendering
from kernel.errors import InvalidData


@dataclass(frozen=True)
class Mail:
    """One mail to one person."""

    id: UUID
    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)


@dataclass(frozen=True)
class Sender:
    """Who mail comes from: `address`, and the `name` shown."""

    address: str
    name: str = "Sluice"

    def message_id(self, mail: Mail) -> str:
        """The same for the same notification: many receivers keep only one mail of an id."""
        return f"<{mail.id}@{self.address.rpartition('@')[2]}>"


class MailService(Protocol):
    """Something that takes mail."""

    def submit(self, mail: Mail) -> None:
        """Hand the mail over; raises as `Channel.send` does."""
        ...


class MailChannel:
    """Writes to each addressee by mail."""

    personal = True

    def __init__(self, service: MailService) -> None:
        self._service, self._rendering = service, MailRendering()

    def send(self, letter: Letter, address: str | None) -> None:
        """Send the mail; see `Channel.send`. Raises `InvalidData` for what is no address."""
        text, html = self._rendering.text(letter), self._rendering.html(letter)
        self._service.submit(Mail(letter.id, _address(address), subject_line(letter.subject), text, html))


def _address(text: str | None) -> str:
    """A single bare address. Commas and line breaks would make others out of it."""
    given = (text or "").strip()
    name, found = parseaddr(given)
    local, _, domain = given.rpartition("@")
    if name or found != given or not local or not domain or not given.isprintable() or " " in given:
        raise InvalidData("The addressee's mail address is not one. Correct it in the directory.")
    return given
