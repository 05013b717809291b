"""Entities: operations queue up, run in batches in their order, and answer whoever called."""

import itertools
import uuid
from collections.abc import Callable, Iterable

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import dispatch, events
from localhost.taskhub.dispatch import Dispatch
from localhost.taskhub.events import seconds, text, unwrapped
from localhost.taskhub.ids import is_entity_id, is_instance_id
from localhost.taskhub.inbox import Inbox
from localhost.taskhub.journal import Journal
from localhost.taskhub.model import Entity, LockRequest, Message
from localhost.taskhub.registry import Registry
from localhost.taskhub.starts import NewInstance, Starts
from localhost.taskhub.timers import Timers

_RETRY_SECONDS = 1.0
_CALLED = "entityOperationCalled"
_SIGNALED = "entityOperationSignaled"


class BatchWork:
    """A batch of operations of one entity for a consumer. See `dispatch.Work`.

    It takes only operations that are durable: entity code may have effects on the outside world, which must
    not come from something that never happened.
    """

    kind = dispatch.BATCH
    version = ""

    def __init__(self, entities: "Entities", entity: Entity) -> None:
        self._entities = entities
        self.entity = entity
        self._batch: list[Message] = []
        self.root = entity.id
        self.name = entity.name

    def begin(self) -> bytes | None:
        """The encoded EntityBatchRequest."""
        self._batch = self._entities.begin(self.entity)
        return batch_request(self.entity, self._batch) if self._batch else None

    def finish(self, answer: bytes) -> None:
        """Record what the entity did."""
        self._entities.finish(self.entity, self._batch, pb.EntityBatchResult.FromString(answer))

    def abandon(self) -> None:
        """Let another worker have the operations, a little later."""
        self._entities.retry(self.entity, self._batch)


class Entities:
    """All entities. `grant` is asked when a lock request is first in an entity's queue."""

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        timers: Timers,
        dispatch: Dispatch,
        inbox: Inbox,
        starts: Starts,
        *,
        grant: Callable[[LockRequest], None],
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._timers = timers
        self._dispatch = dispatch
        self._inbox = inbox
        self._starts = starts
        self._grant = grant
        self._entities: dict[str, Entity] = {}

    def add(self, entity: Entity) -> None:
        """Make an entity known that the database knows."""
        self._entities[entity.id] = entity

    def get(self, entity_id: str) -> Entity | None:
        """The entity, if there is anything to know about it."""
        return self._entities.get(entity_id)

    def ensure(self, entity_id: str) -> Entity:
        """The entity; a new one if there was none."""
        entity = self._entities.get(entity_id)
        if entity is None:
            entity = self._entities[entity_id] = Entity(entity_id, self._timers.now())
        return entity

    def all(self) -> Iterable[Entity]:
        """Every entity, in no particular order."""
        return list(self._entities.values())

    def send(self, entity_id: str, kind: str, event: bytes, visible: float | None = None) -> None:
        """Put an operation on its way; it queues up now, or when it becomes visible.

        One for what cannot be an entity fails for its caller at once.
        """
        if visible is not None and visible <= self._timers.now():
            visible = None
        message = Message(self._journal.next_id(), entity_id, kind, event, visible)
        if not is_entity_id(entity_id):
            self._refuse(message)
            return
        self._journal.sent(message)
        self.carry(message)

    def _refuse(self, message: Message) -> None:
        if message.kind == _CALLED:
            problem = f"{message.target[:100]!r} is not an entity id of the form @name@key."
            details = pb.TaskFailureDetails(errorType="InvalidEntityId", errorMessage=problem)
            failure = pb.OperationResultFailure(failureDetails=details)
            self._answer(message, pb.OperationResult(failure=failure))

    def carry(self, message: Message) -> None:
        """Queue an operation that is already in the journal, when it is due."""
        if message.visible is not None and message.visible > self._timers.now():
            self._timers.at(message.visible, lambda: self._arrive(message))
        else:
            self._arrive(message)

    def signal(
        self, entity_id: str, name: str, value: str | None, visible: float | None, request_id: str = ""
    ) -> None:
        """Send an operation that nobody waits for."""
        signal = pb.EntityOperationSignaledEvent(
            requestId=request_id or str(uuid.uuid4()),
            operation=name,
            input=text(value),
            targetInstanceId=text(entity_id),
        )
        event = events.encode(self._timers.now(), entityOperationSignaled=signal)
        self.send(entity_id, _SIGNALED, event, visible)

    def _arrive(self, message: Message) -> None:
        entity = self.ensure(message.target)
        entity.queue.append(message)
        self.wake(entity)

    def wake(self, entity: Entity) -> None:
        """Start a batch if something can run; forget an entity that is no more."""
        if entity.running is not None or entity.queued:
            return
        first = entity.queue[0] if entity.queue else None
        if isinstance(first, LockRequest) and entity.lock_section is None:
            self._grant(first)
        elif first is None and entity.blank:
            self._entities.pop(entity.id, None)
        elif self._ready(entity):
            entity.queued = True
            work = BatchWork(self, entity)
            self._journal.after(lambda: self._dispatch.push(work))

    def begin(self, entity: Entity) -> list[Message]:
        """Take the operations that can run out of the queue."""
        entity.queued = False
        batch = [message for message in self._ready(entity) if message.id <= self._journal.durable_id]
        if batch:
            taken = {message.id for message in batch}
            kept = [m for m in entity.queue if isinstance(m, LockRequest) or m.id not in taken]
            entity.queue.clear()
            entity.queue.extend(kept)
            entity.running = batch
        else:
            self.wake(entity)
        return batch

    def retry(self, entity: Entity, batch: list[Message]) -> None:
        """The batch did not take place."""

        def again() -> None:
            if entity.running is batch:
                self._put_back(entity, batch)
                self.wake(entity)

        self._timers.at(self._timers.now() + _RETRY_SECONDS, again)

    def finish(self, entity: Entity, batch: list[Message], result: pb.EntityBatchResult) -> None:
        """Record the new state, answer the callers, send what the entity sends. Results go by position."""
        if entity.running is not batch:
            return
        results = list(result.results)[: len(batch)]
        if result.HasField("failureDetails"):  # of all that have no result of their own
            failed = pb.OperationResult(
                failure=pb.OperationResultFailure(failureDetails=result.failureDetails)
            )
            results += [failed] * (len(batch) - len(results))
        if result.results or not result.HasField("failureDetails"):
            entity.state = unwrapped(result, "entityState")
            entity.modified = self._timers.now()
        for message, outcome in zip(batch, results, strict=False):
            self._journal.consumed(message)
            if message.kind == _CALLED:
                self._answer(message, outcome)
        self._put_back(entity, batch[len(results) :])
        self._journal.changed_entity(entity)
        for action in result.actions:
            self._act(action)
        self.wake(entity)

    def remove(self, entity: Entity) -> None:
        """Forget the state of an entity; operations that are queued will find it new."""
        entity.state = None
        entity.modified = self._timers.now()
        self._journal.changed_entity(entity)
        self.wake(entity)

    def _ready(self, entity: Entity) -> list[Message]:
        """What may run now: everything before the next lock request, or the lock owner's calls."""
        if entity.lock_section is None:
            before = itertools.takewhile(lambda item: isinstance(item, Message), entity.queue)
            return [item for item in before if isinstance(item, Message)]
        operations = (item for item in entity.queue if isinstance(item, Message))
        return [item for item in operations if item.kind == _CALLED and _caller(item) == entity.lock_owner]

    def _put_back(self, entity: Entity, batch: list[Message]) -> None:
        entity.running = None
        entity.queue.extendleft(reversed(batch))

    def _answer(self, message: Message, outcome: pb.OperationResult) -> None:
        called = pb.HistoryEvent.FromString(message.event).entityOperationCalled
        caller = self._registry.live(called.parentInstanceId.value)
        if caller is None or called.requestId not in caller.calls:
            return
        caller.calls.discard(called.requestId)
        now = self._timers.now()
        if outcome.HasField("failure"):
            failed = pb.EntityOperationFailedEvent(
                requestId=called.requestId, failureDetails=outcome.failure.failureDetails
            )
            self._inbox.send(
                caller, "entityOperationFailed", events.encode(now, entityOperationFailed=failed)
            )
            return
        done = pb.EntityOperationCompletedEvent(
            requestId=called.requestId, output=text(unwrapped(outcome.success, "result"))
        )
        self._inbox.send(
            caller, "entityOperationCompleted", events.encode(now, entityOperationCompleted=done)
        )

    def _act(self, action: pb.OperationAction) -> None:
        if action.HasField("sendSignal"):
            signal = action.sendSignal
            visible = seconds(signal.scheduledTime) if signal.HasField("scheduledTime") else None
            self.signal(signal.instanceId, signal.name, unwrapped(signal, "input"), visible)
        elif action.HasField("startNewOrchestration"):
            self._start(action.startNewOrchestration)

    def _start(self, action: pb.StartNewOrchestrationAction) -> None:
        instance_id = action.instanceId or uuid.uuid4().hex
        if not is_instance_id(instance_id) or self._registry.live(instance_id) is not None:
            return  # as for a client: one that runs is not replaced
        self._starts.start(
            NewInstance(
                id=instance_id,
                name=action.name,
                input=unwrapped(action, "input"),
                version=unwrapped(action, "version"),
                at=seconds(action.scheduledTime) if action.HasField("scheduledTime") else None,
                trace=action.parentTraceContext if action.HasField("parentTraceContext") else None,
            )
        )


def _caller(message: Message) -> str:
    called = pb.HistoryEvent.FromString(message.event).entityOperationCalled
    return called.parentInstanceId.value


def batch_request(entity: Entity, batch: Iterable[Message]) -> bytes:
    """The request that runs these operations on the entity's state."""
    request = pb.EntityBatchRequest(instanceId=entity.id, entityState=text(entity.state))
    for message in batch:
        event = pb.HistoryEvent.FromString(message.event)
        operation = event.entityOperationCalled if message.kind == _CALLED else event.entityOperationSignaled
        request.operations.append(
            pb.OperationRequest(
                operation=operation.operation,
                requestId=operation.requestId,
                input=operation.input if operation.HasField("input") else None,
            )
        )
    return request.SerializeToString()
