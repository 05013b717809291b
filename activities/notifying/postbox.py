"""How this deployment reaches people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from adapters.comms.letter import Channel
from kernel.links import Links

_UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Postbox:
    """The channels by name, none where nobody is to be told; links to the pages; the zone of times."""

    channels: Mapping[str, Channel] = field(default_factory=dict)
    links: Links = field(default_factory=lambda: Links(""))
    zone: ZoneInfo = _UTC
