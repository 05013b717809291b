"""Locks on entities: an orchestration gets all it asks for at once, in the order of the requests."""

from collections import defaultdict

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import events
from localhost.taskhub.entities import Entities
from localhost.taskhub.ids import is_entity_id
from localhost.taskhub.inbox import Inbox
from localhost.taskhub.journal import Journal
from localhost.taskhub.model import LockRequest, Message
from localhost.taskhub.registry import Registry
from localhost.taskhub.timers import Timers

REQUESTED = "entityLockRequested"
_EVERYWHERE = "@"  # the event itself names the entities


class Locks:
    """Grants and releases locks.

    A request stands in the queue of each of its entities, behind the operations that came before it. It is
    put into all of them at one instant: requests are in the same order everywhere and cannot wait for each
    other in a circle.
    """

    def __init__(
        self, registry: Registry, journal: Journal, timers: Timers, inbox: Inbox, entities: Entities
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._timers = timers
        self._inbox = inbox
        self._entities = entities
        self._held: defaultdict[str, set[str]] = defaultdict(set)
        self._requests: defaultdict[str, list[LockRequest]] = defaultdict(list)

    def request(self, event: pb.HistoryEvent) -> None:
        """An orchestration asks for a lock. Whatever cannot be an entity needs no lock."""
        wanted = event.entityLockRequested
        entities = [entity_id for entity_id in wanted.lockSet if is_entity_id(entity_id)]
        del wanted.lockSet[:]
        wanted.lockSet.extend(entities)
        message = Message(self._journal.next_id(), _EVERYWHERE, REQUESTED, event.SerializeToString())
        self._journal.sent(message)
        self.carry(message)

    def carry(self, message: Message) -> None:
        """Queue a request that is already in the journal."""
        wanted = pb.HistoryEvent.FromString(message.event).entityLockRequested
        owner = wanted.parentInstanceId.value
        entities = tuple(dict.fromkeys(wanted.lockSet))
        request = LockRequest(message, wanted.criticalSectionId, owner, entities)
        self._requests[owner].append(request)
        for entity_id in entities:
            self._entities.ensure(entity_id).queue.append(request)
        self.grant(request)

    def grant(self, request: LockRequest) -> None:
        """Lock all entities of the request, if all are free and have nothing before it."""
        entities = [self._entities.ensure(entity_id) for entity_id in request.entities]
        for entity in entities:
            if entity.running is not None or entity.queued or entity.lock_section is not None:
                return
            if entity.queue[0] is not request:
                return
        for entity in entities:
            entity.queue.popleft()
            entity.lock_section, entity.lock_owner = request.section, request.owner
            self._journal.changed_entity(entity)
        self._held[request.owner].update(request.entities)
        self._forget(request)
        owner = self._registry.live(request.owner)
        assert owner is not None, "requests of finished instances are withdrawn"
        granted = pb.EntityLockGrantedEvent(criticalSectionId=request.section)
        event = events.encode(self._timers.now(), entityLockGranted=granted)
        self._inbox.send(owner, "entityLockGranted", event)

    def held(self, entity_id: str, owner: str) -> None:
        """Remember a lock that the database knows."""
        self._held[owner].add(entity_id)

    def unlock(self, entity_id: str, section: str) -> None:
        """Release one entity, if that critical section still holds it."""
        entity = self._entities.get(entity_id)
        if entity is None or entity.lock_section != section:
            return
        self._held.get(entity.lock_owner or "", set()).discard(entity_id)
        entity.lock_section = entity.lock_owner = None
        self._journal.changed_entity(entity)
        self._entities.wake(entity)

    def release(self, owner: str) -> None:
        """The orchestration is over: release what it holds, withdraw what it asked for."""
        for request in self._requests.pop(owner, ()):
            self._journal.consumed(request.message)
            for entity_id in request.entities:
                entity = self._entities.ensure(entity_id)
                entity.queue.remove(request)
                self._entities.wake(entity)
        for entity_id in self._held.pop(owner, ()):
            locked = self._entities.get(entity_id)
            if locked is not None and locked.lock_section is not None:
                self.unlock(entity_id, locked.lock_section)

    def _forget(self, request: LockRequest) -> None:
        self._journal.consumed(request.message)
        waiting = self._requests[request.owner]
        waiting.remove(request)
        if not waiting:
            del self._requests[request.owner]
