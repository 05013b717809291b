"""What changed and is not yet committed, and the task that commits it.

A batch is a snapshot of everything that changed since the one before, taken at one instant of the single
threaded hub: any committed state is a consistent cut. While a batch is being written the next one gathers.
What may only be seen once it is durable (work that has side effects, answers to clients) waits for the batch
that holds its cause: `after` and `durable`. Nothing else waits for company, but for messages that nobody was
promised: they let the turn that they cause go with them.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from localhost.taskhub import rows
from localhost.taskhub.batch import Batch
from localhost.taskhub.errors import HubLost
from localhost.taskhub.model import Entity, Instance, Message

BEFORE_COMMIT = "before commit"
AFTER_COMMIT = "after commit"

# How long a message that is in no hurry waits for what it causes; a short turn takes about a millisecond.
_PATIENCE_SECONDS = 0.003

type Effect = Callable[[], None]


class Store(Protocol):
    """Where batches are written."""

    async def commit(self, changes: Batch) -> None:
        """Write all of it durably, or raise HubLost."""
        ...


class Journal:
    """The changes of a hub on their way to its store. `last_id` is the highest number in use there.

    Messages with numbers up to `durable_id` are durable.
    """

    def __init__(self, store: Store, last_id: int, probe: Callable[[str], None]) -> None:
        self._store = store
        self._last_id = self.durable_id = last_id
        self._probe = probe
        self._open = 1
        self._committed = 0
        self._instances: dict[str, Instance] = {}
        self._entities: dict[str, Entity] = {}
        self._messages: dict[int, Message] = {}
        self._consumed: list[int] = []
        self._removed: set[str] = set()
        self._effects: list[Effect] = []
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}
        self._work = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._draining = False
        self._failure: HubLost | None = None

    def next_id(self) -> int:
        """A number never given out before in this hub, by any owner."""
        self._last_id += 1
        return self._last_id

    def changed(self, instance: Instance) -> None:
        """The instance has to be written."""
        instance.batch = self._open
        self._instances[instance.id] = instance
        self._work.set()

    def changed_entity(self, entity: Entity) -> None:
        """The entity has to be written, or removed if it is blank."""
        entity.batch = self._open
        self._entities[entity.id] = entity
        self._work.set()

    def sent(self, message: Message, *, hurry: bool = True) -> None:
        """The message is on its way. Without hurry it may wait a moment for other changes."""
        self._messages[message.id] = message
        if hurry:
            self._work.set()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._end_of_patience)

    def _end_of_patience(self) -> None:
        self._later = None
        self._work.set()

    def consumed(self, message: Message) -> None:
        """The message has done its work. One that was never written leaves no trace."""
        if self._messages.pop(message.id, None) is None:
            self._consumed.append(message.id)
        self._work.set()

    def removed(self, instance_id: str) -> None:
        """The instance and its history go away."""
        self._instances.pop(instance_id, None)
        self._removed.add(instance_id)
        self._work.set()

    def after(self, effect: Effect) -> None:
        """Call `effect` once everything that has changed up to now is durable; never, if that fails."""
        if self._failure is None:
            self._effects.append(effect)
            self._work.set()

    async def durable(self, batch: int | None = None) -> None:
        """Wait until that batch is committed; by default, until everything that changed up to now is.

        Raises HubLost if it never will be.
        """
        if self._failure is not None:
            raise self._failure
        if batch is None:
            batch = self._open if self._pending() else self._open - 1
        if batch <= self._committed:
            return
        self._work.set()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(batch, []).append(done)
        await done

    async def run(self) -> None:
        """Commit batch after batch until `drain`. An error here must end the hub."""
        while not (self._draining and not self._pending()):
            await self._work.wait()
            self._work.clear()
            if self._pending():
                await self._commit()

    def drain(self) -> None:
        """Let `run` end once everything is committed."""
        self._draining = True
        self._work.set()

    def fail(self, error: HubLost) -> None:
        """Nothing will be committed any more: whoever waits is told so."""
        self._failure = error
        self._effects.clear()
        waiting, self._waiting = self._waiting, {}
        for done in (done for batch in waiting.values() for done in batch):
            if not done.done():
                done.set_exception(error)

    async def _commit(self) -> None:
        batch, effects, last_id = self._take(), self._effects, self._last_id
        self._effects = []
        self._open += 1
        self._probe(BEFORE_COMMIT)
        if batch.tables:
            await self._store.commit(batch)
        self._probe(AFTER_COMMIT)
        self._committed = batch.number
        self.durable_id = last_id
        for effect in effects:
            effect()
        for done in self._waiting.pop(batch.number, ()):
            if not done.done():
                done.set_result(None)

    def _pending(self) -> bool:
        changes = (self._instances, self._entities, self._messages, self._consumed, self._removed)
        return any(changes) or bool(self._effects)

    def _take(self) -> Batch:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        batch = Batch(self._open)
        for instance in self._instances.values():
            _write(batch, instance)
        for entity in self._entities.values():
            if entity.blank:
                batch.blank.append((entity.id,))
            else:
                batch.entities.append(rows.entity_row(entity))
        batch.messages = [
            (message.id, message.target, rows.moment(message.visible), message.event)
            for message in self._messages.values()
        ]
        batch.consumed = [(number,) for number in self._consumed]
        # A removed instance that has come back was just written whole, over the old one.
        batch.removed = [(number,) for number in self._removed if number not in self._instances]
        for changes in (self._instances, self._entities, self._messages, self._consumed, self._removed):
            changes.clear()
        return batch


def _write(batch: Batch, instance: Instance) -> None:
    if instance.fresh:
        batch.full.append(rows.full_row(instance))
        instance.fresh = False
    else:
        batch.progress.append(rows.progress_row(instance))
    for sequence, events in instance.unsaved:
        batch.history.append((instance.execution, sequence, events))
    instance.unsaved.clear()
