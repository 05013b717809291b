"""Style, script and pictures, by names that change with their content: browsers may keep them for ever."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

KINDS: Mapping[str, str] = MappingProxyType(
    {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
)


@dataclass(frozen=True)
class Asset:
    """One file: where it is served, and what it is."""

    name: str
    kind: str
    data: bytes


class Statics:
    """The files of `console/static`, read once; nothing else can be had by their addresses."""

    def __init__(self) -> None:
        found = [_asset(one.name, one.read_bytes()) for one in (files("console") / "static").iterdir()]
        self._by_name = {asset.name: asset for _, asset in found}
        self._addresses = {plain: f"/static/{asset.name}" for plain, asset in found}

    def address(self, plain: str) -> str:
        """Where a file is served."""
        return self._addresses[plain]

    def find(self, name: str) -> Asset | None:
        """The file of that name, its content in it; `None` when there is none."""
        return self._by_name.get(name)


def _asset(plain: str, data: bytes) -> tuple[str, Asset]:
    stem, _, ending = plain.rpartition(".")
    short = hashlib.sha256(data).hexdigest()[:12]
    return plain, Asset(f"{stem}.{short}.{ending}", KINDS[ending], data)
