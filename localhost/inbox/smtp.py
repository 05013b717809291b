"""The SMTP side: takes every mail from this machine."""

import asyncio
from collections.abc import Callable

from aiosmtpd.smtp import SMTP, Envelope, Session

from localhost.inbox.mailbox import Mailbox

MAX_BYTES = 10_000_000


class Catcher:
    """Keeps what comes; says that it is taken once it is on disk."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd with a whole mail."""
        content = envelope.original_content or b""
        await asyncio.to_thread(self._mailbox.add, content, list(envelope.rcpt_tos))
        return "250 2.0.0 Kept"


def smtp_protocol(handler: object) -> Callable[[], SMTP]:
    """What `loop.create_server` makes of each connection."""
    return lambda: SMTP(handler, data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, ident="Sluice inbox")
