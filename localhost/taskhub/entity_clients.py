"""What clients can ask of entities. Every method returns when its effect is durable."""

from collections.abc import Iterable
from dataclasses import dataclass

from localhost.taskhub.core import Core
from localhost.taskhub.errors import InvalidRequest
from localhost.taskhub.ids import is_entity_id
from localhost.taskhub.model import Entity, Message


@dataclass(frozen=True)
class EntityFilter:
    """Which entities. Times are seconds since 1970, a half-open interval of the last change."""

    prefix: str = ""
    modified_from: float | None = None
    modified_to: float | None = None
    without_state: bool = False

    def matches(self, entity: Entity) -> bool:
        """Whether all conditions hold."""
        return (
            (entity.state is not None or self.without_state)
            and entity.id.startswith(self.prefix)
            and (self.modified_from is None or entity.modified >= self.modified_from)
            and (self.modified_to is None or entity.modified < self.modified_to)
        )


class EntityClients:
    """Operations on entities."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def signal(
        self, entity_id: str, name: str, value: str | None, at: float | None, request_id: str
    ) -> None:
        """Send an operation, now or at a time (seconds since 1970)."""
        if not is_entity_id(entity_id):
            raise InvalidRequest(f"{entity_id!r} is not an entity id of the form @name@key.")
        self._core.entities.signal(entity_id, name, value, at, request_id)
        await self._core.journal.durable()

    async def get(self, entity_id: str) -> Entity | None:
        """The entity, if it has state."""
        entity = self._core.entities.get(entity_id)
        if entity is None or entity.state is None:
            return None
        await self._core.journal.durable()
        return self._core.entities.get(entity_id)

    async def query(
        self, wanted: EntityFilter, after: str | None, size: int
    ) -> tuple[list[Entity], str | None]:
        """One page in the order of the ids, and the token of the next."""
        await self._core.journal.durable()
        matching = (entity for entity in self._core.entities.all() if wanted.matches(entity))
        left = sorted((e for e in matching if not after or e.id > after), key=lambda entity: entity.id)
        page = left[:size] if size else left
        return page, page[-1].id if len(page) < len(left) else None

    async def purge(self, entity_id: str) -> int:
        """Remove an entity's state; how many entities that were."""
        entity = self._core.entities.get(entity_id)
        if entity is None or entity.state is None:
            return 0
        self._core.entities.remove(entity)
        await self._core.journal.durable()
        return 1

    async def release_orphaned_locks(self) -> int:
        """Release locks whose orchestration is not live any more; how many."""
        count = 0
        for entity in self._core.entities.all():
            owner, section = entity.lock_owner, entity.lock_section
            if section is not None and self._core.registry.live(owner or "") is None:
                self._core.locks.unlock(entity.id, section)
                count += 1
        await self._core.journal.durable()
        return count


def backlog(entity: Entity) -> Iterable[Message]:
    """The operations that wait or run."""
    yield from entity.running or ()
    yield from (item for item in entity.queue if isinstance(item, Message))
