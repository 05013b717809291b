"""Removing finished instances for good."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from localhost.taskhub.core import Core
from localhost.taskhub.reader import Filter, Reader

_PAGE = 500


@dataclass
class Purged:
    """How many instances are gone, and whether that was all that were asked for."""

    count: int = 0
    complete: bool = True


class Purging:
    """Removes finished instances with their history; those that still run are left alone."""

    def __init__(self, core: Core, reader: Reader) -> None:
        self._core = core
        self._reader = reader

    async def instances(self, instance_ids: Sequence[str], *, recursive: bool) -> Purged:
        """Remove these, and the sub-orchestrations below them if recursive."""
        await self._core.journal.durable()
        found = [await self._core.registry.find(instance_id) for instance_id in instance_ids]
        wanted = [instance.id for instance in found if instance is not None and instance.finished]
        if recursive:
            wanted = await self._reader.descendants(wanted)
        purged = Purged(self._remove(wanted))
        await self._core.journal.durable()
        return purged

    async def matching(self, wanted: Filter, *, recursive: bool, seconds: float | None) -> Purged:
        """Remove what matches, page by page, for at most that many seconds."""
        await self._core.journal.durable()
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        purged, token = Purged(), None
        while True:
            page = await self._reader.purgeable(wanted, token, _PAGE)
            ids = await self._reader.descendants(page.items) if recursive else page.items
            purged.count += self._remove(ids)
            await self._core.journal.durable()
            token = page.next
            if token is None:
                return purged
            if deadline is not None and asyncio.get_running_loop().time() > deadline:
                purged.complete = False
                return purged

    def _remove(self, instance_ids: Iterable[str]) -> int:
        count = 0
        for instance_id in instance_ids:
            if self._core.registry.remove(instance_id):
                self._core.journal.removed(instance_id)
                self._after_removal(instance_id)
                count += 1
        return count

    def _after_removal(self, instance_id: str) -> None:
        self._core.journal.after(lambda: self._core.registry.removal_done(instance_id))
