"""Builds the channels that a deployment has, from what it is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from types import MappingProxyType

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


@dataclass(frozen=True)
class ChannelOptions:
    """What a deployment is told. Secrets are names in the vault; empty means that there is none.

    `mail` is none, smtp, graph or acs; `sender` an address, with a name before it in any form of RFC 5322.
    """

    mail: str = "none"
    sender: str = ""
    smtp: SmtpServer = field(default_factory=lambda: SmtpServer("", 587))
    graph: str = ""
    acs_endpoint: str = ""
    acs_secret: str = ""
    teams_secret: str = ""
    slack_secret: str = ""


def build_channels(
    options: ChannelOptions, credentials: CredentialProvider, clock: Clock
) -> Mapping[str, Channel]:
    """The channels by name. Raises `InvalidSettings` when mail would travel in clear."""
    channels: dict[str, Channel] = {}
    if build := _MAIL.get(options.mail):
        name, address = parseaddr(options.sender)
        sender = Sender(address, name or "Sluice")
        channels[MAIL] = MailChannel(build(options, sender, credentials, clock))
    if options.teams_secret:
        channels[TEAMS] = TeamsChannel(credentials, options.teams_secret)
    if options.slack_secret:
        channels[SLACK] = SlackChannel(credentials, options.slack_secret)
    return MappingProxyType(channels)


type _Build = Callable[[ChannelOptions, Sender, CredentialProvider, Clock], MailService]


def _smtp(
    options: ChannelOptions, sender: Sender, credentials: CredentialProvider, clock: Clock
) -> MailService:
    return SmtpMail(options.smtp, sender, credentials, clock)


def _graph(
    options: ChannelOptions, sender: Sender, _credentials: CredentialProvider, _clock: Clock
) -> MailService:
    return GraphMail(sender, EntraTokens(f"{options.graph}/.default"), options.graph)


def _acs(
    options: ChannelOptions, sender: Sender, credentials: CredentialProvider, clock: Clock
) -> MailService:
    key = options.acs_secret
    proof = AccessKey(credentials, key, clock) if key else Bearer(EntraTokens(ACS_SCOPE))
    return AcsMail(options.acs_endpoint, sender, proof)


_MAIL: Mapping[str, _Build] = MappingProxyType({"smtp": _smtp, "graph": _graph, "acs": _acs})
