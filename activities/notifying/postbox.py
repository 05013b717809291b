"""How this deployment reaches people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from zoneinfo import ZoneInfo

from adapters.comms.channels import ChannelSettings, build_channels
from adapters.comms.letter import Channel
from kernel.clock import Clock
from kernel.links import Links
from kernel.secrets import CredentialProvider, Secret

_UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Postbox:
    """The channels by name, none where nobody is to be told; links to the pages; the zone of times."""

    channels: Mapping[str, Channel] = field(default_factory=dict)
    links: Links = field(default_factory=lambda: Links(""))
    zone: ZoneInfo = _UTC


class PostboxSettings(ChannelSettings, Protocol):
    """What the deployment's settings say about messages."""

    # fmt: off
    @property
    def public_url(self) -> str: ...
    @property
    def link_keys(self) -> Sequence[Secret]: ...
    @property
    def time_zone(self) -> ZoneInfo: ...
    # fmt: on


def build_postbox(settings: PostboxSettings, credentials: CredentialProvider, clock: Clock) -> Postbox:
    """What the settings say. Raises `InvalidSettings` when mail would travel in clear."""
    links = Links(settings.public_url, settings.link_keys)
    return Postbox(build_channels(settings, credentials, clock), links, settings.time_zone)
