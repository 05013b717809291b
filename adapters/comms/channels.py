"""Builds the channels that a deployment has, from what it is told."""

from collections.abc import Callable, Mapping
from email.utils import parseaddr
from types import MappingProxyType
from typing import Protocol

from adapters.comms.acs_mail import SCOPE as ACS_SCOPE
from adapters.comms.acs_mail import AccessKey, AcsMail, Bearer
from adapters.comms.graph_mail import GraphMail
from adapters.comms.letter import Channel
from adapters.comms.mail import MailChannel, MailService, Sender
from adapters.comms.slack import SlackChannel
from adapters.comms.smtp import SmtpMail, SmtpServer
from adapters.comms.teams import TeamsChannel
from adapters.entra_tokens import EntraTokens
from kernel.clock import Clock
from kernel.secrets import CredentialProvider

MAIL, TEAMS, SLACK = "mail", "teams", "slack"


class ChannelSettings(Protocol):
    """What the deployment's settings say about channels; `kernel.settings` has the meanings."""

    # fmt: off
    @property
    def mail(self) -> str: ...
    @property
    def mail_from(self) -> str: ...
    @property
    def smtp_host(self) -> str: ...
    @property
    def smtp_port(self) -> int: ...
    @property
    def smtp_security(self) -> str: ...
    @property
    def smtp_user(self) -> str: ...
    @property
    def smtp_secret(self) -> str: ...
    @property
    def graph(self) -> str: ...
    @property
    def acs_endpoint(self) -> str: ...
    @property
    def acs_secret(self) -> str: ...
    @property
    def teams_secret(self) -> str: ...
    @property
    def slack_secret(self) -> str: ...
    # fmt: on


def build_channels(
    settings: ChannelSettings, credentials: CredentialProvider, clock: Clock
) -> Mapping[str, Channel]:
    """The channels by name. Raises `InvalidSettings` when mail would travel in clear."""
    channels: dict[str, Channel] = {}
    if build := _MAIL.get(settings.mail):
        name, address = parseaddr(settings.mail_from)
        sender = Sender(address, name or "Sluice")
        channels[MAIL] = MailChannel(build(settings, sender, credentials, clock))
    if settings.teams_secret:
        channels[TEAMS] = TeamsChannel(credentials, settings.teams_secret)
    if settings.slack_secret:
        channels[SLACK] = SlackChannel(credentials, settings.slack_secret)
    return MappingProxyType(channels)


type _Build = Callable[[ChannelSettings, Sender, CredentialProvider, Clock], MailService]


def _smtp(
    settings: ChannelSettings, sender: Sender, credentials: CredentialProvider, clock: Clock
) -> MailService:
    server = SmtpServer(
        settings.smtp_host, settings.smtp_port, settings.smtp_security, settings.smtp_user,
        settings.smtp_secret,
    )  # fmt: skip
    return SmtpMail(server, sender, credentials, clock)


def _graph(
    settings: ChannelSettings, sender: Sender, _credentials: CredentialProvider, _clock: Clock
) -> MailService:
    return GraphMail(sender, EntraTokens(f"{settings.graph}/.default"), settings.graph)


def _acs(
    settings: ChannelSettings, sender: Sender, credentials: CredentialProvider, clock: Clock
) -> MailService:
    key = settings.acs_secret
    proof = AccessKey(credentials, key, clock) if key else Bearer(EntraTokens(ACS_SCOPE))
    return AcsMail(settings.acs_endpoint, sender, proof)


_MAIL: Mapping[str, _Build] = MappingProxyType({"smtp": _smtp, "graph": _graph, "acs": _acs})
