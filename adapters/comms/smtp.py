"""Mail by SMTP. In clear only on the loopback interface."""

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime

from adapters.comms.mail import Mail, Sender
from kernel.clock import Clock
from kernel.errors import (
    AuthenticationFailed,
    ExternalError,
    InDoubt,
    InvalidData,
    InvalidSettings,
    SystemUnavailable,
    Transient,
)
from kernel.secrets import CredentialProvider

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SECONDS = 15.0
"""For each answer: all of them together are less than a claim of the outbox lasts."""
# Folded, a subject may begin on its second line, and some programs then show it with a space before it.
_UNFOLDED = SMTP_POLICY.clone(max_line_length=250)
_ENHANCED = re.compile(rb"\A\d\.\d{1,3}\.\d{1,3}\b")


@dataclass(frozen=True)
class SmtpServer:
    """Where mail is handed in. `security` is starttls, tls or none; `secret` names the user's password."""

    host: str
    port: int
    security: str = "starttls"
    user: str = ""
    secret: str = ""


class SmtpMail:
    """Hands mail to an SMTP server, one connection for each."""

    def __init__(
        self, server: SmtpServer, sender: Sender, credentials: CredentialProvider, clock: Clock,
        trusted: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        if server.security == "none" and server.host not in _LOOPBACK:
            raise InvalidSettings(
                f"Mail to {server.host} would travel in clear. Set SLUICE_SMTP_SECURITY to starttls or tls."
            )
        self._server, self._sender = server, sender
        self._credentials, self._clock, self._trusted = credentials, clock, trusted

    def submit(self, mail: Mail) -> None:
        """Hand the mail over. Success is the server's word after the whole content; see `Channel.send`."""
        if not mail.to.isascii():
            raise InvalidData("The addressee's mail address has letters that SMTP servers need not accept.")
        message = self._message(mail)
        with self._session() as session:
            self._envelope(session, mail)
            self._content(session, message)

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage(policy=_UNFOLDED if mail.subject.isascii() else SMTP_POLICY)
        message["From"] = Address(self._sender.name, addr_spec=self._sender.address)
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(self._clock())
        message["Message-ID"] = self._sender.message_id(mail)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from machines
        message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        with _mapped(self._server, "The connection could not be made"):
            session = self._connected()
        try:
            yield session
        finally:
            session.close()

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.security == "tls":
            session: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=_SECONDS, context=self._tls()
            )
        else:
            session = smtplib.SMTP(server.host, server.port, timeout=_SECONDS)
        try:
            if server.security == "starttls":
                session.starttls(context=self._tls())
            if server.user:
                session.login(server.user, self._credentials.secret(server.secret).reveal())
            session.ehlo_or_helo_if_needed()
        except BaseException:
            session.close()
            raise
        return session

    def _tls(self) -> ssl.SSLContext:
        return self._trusted or ssl.create_default_context()

    def _envelope(self, session: smtplib.SMTP, mail: Mail) -> None:
        with _mapped(self._server, "The mail could not be handed over"):
            self._accepted(session.mail(self._sender.address), "the sender")
            self._accepted(session.rcpt(mail.to), "the addressee")

    def _content(self, session: smtplib.SMTP, message: EmailMessage) -> None:
        """Send the content; from here on a lost connection leaves open whether the server has taken it."""
        with _mapped(self._server, "The mail could not be handed over"):
            self._accepted(session.docmd("DATA"), "the mail", good=354)
        content = message.as_bytes().replace(b"\r\n.", b"\r\n..")  # RFC 5321, section 4.5.2
        try:
            session.send(content + b".\r\n")
            answer = session.getreply()
        except (OSError, smtplib.SMTPServerDisconnected) as exc:
            raise InDoubt(
                f"The mail server {self._server.host} was lost after the mail: whether it has taken it is "
                "unknown."
            ) from exc
        self._accepted(answer, "the mail")

    def _accepted(self, answer: tuple[int, bytes], what: str, good: int = 250) -> None:
        code, text = answer
        if code == good or (good == 250 and code == 251):
            return
        raise _refusal(self._server.host, code, text, what)


def _refusal(host: str, code: int, text: bytes, what: str) -> ExternalError:
    """A server's no. Its sentences may quote addresses and content, so that only its codes are kept."""
    enhanced = _ENHANCED.search(text)
    said = f"{code}{f' {enhanced.group().decode()}' if enhanced else ''}"
    if 400 <= code < 500:
        return Transient(f"The mail server {host} does not take {what} at this moment ({said}).")
    return InvalidData(f"The mail server {host} refuses {what} ({said}).")


@contextmanager
def _mapped(server: SmtpServer, what: str) -> Iterator[None]:
    where = f"{server.host}:{server.port}"
    try:
        yield
    except smtplib.SMTPAuthenticationError as exc:
        raise AuthenticationFailed(
            f"The mail server {where} does not accept the user or password; store the password again."
        ) from exc
    except smtplib.SMTPNotSupportedError as exc:
        raise AuthenticationFailed(
            f"The mail server {where} does not offer what SLUICE_SMTP_SECURITY or the user needs."
        ) from exc
    except ssl.SSLError as exc:
        raise AuthenticationFailed(
            f"The mail server {where} has no certificate that is trusted here, or does not speak TLS; check "
            "SLUICE_SMTP_SECURITY and the port."
        ) from exc
    except (OSError, smtplib.SMTPException) as exc:
        raise SystemUnavailable(f"{what}: the mail server {where} does not answer.") from exc
