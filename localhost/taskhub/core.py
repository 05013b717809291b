"""The parts of a hub put together, without network or threads: everything runs on the loop that made it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub.actions import Actions
from localhost.taskhub.activities import Activities
from localhost.taskhub.completion import Completion
from localhost.taskhub.continuation import Continuation
from localhost.taskhub.dispatch import Dispatch, Work
from localhost.taskhub.entities import Entities
from localhost.taskhub.errors import HubLost
from localhost.taskhub.inbox import Inbox
from localhost.taskhub.journal import Journal, Store
from localhost.taskhub.loading import Loaded
from localhost.taskhub.locks import REQUESTED, Locks
from localhost.taskhub.model import Instance, LockRequest, Message, Turn
from localhost.taskhub.options import HubOptions
from localhost.taskhub.registry import Registry
from localhost.taskhub.rewind import Rewind
from localhost.taskhub.starts import Starts
from localhost.taskhub.timers import Timers
from localhost.taskhub.turns import Turns, TurnWork


class Reading(Protocol):
    """Where finished instances are read."""

    async def instance(self, instance_id: str) -> Instance | None:
        """One instance as it was last committed."""
        ...

    async def history(self, execution: int) -> list[bytes]:
        """The pieces of history of one execution that are committed."""
        ...


class Core:
    """A hub's state and what happens to it. `fail` is told, once, when it can no longer be trusted."""

    def __init__(
        self,
        store: Store,
        reading: Reading,
        loaded: Loaded,
        options: HubOptions,
        fail: Callable[[HubLost], None],
    ) -> None:
        self.options = options
        self._reading = reading
        self._report = fail
        self._failed: HubLost | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.journal = Journal(store, loaded.last_id, options.probe)
        self.timers = Timers(options.clock, self.fail)
        self.dispatch = Dispatch(self.fail)
        self.registry = Registry(self._instance, options.finished_in_memory)
        self._connect()
        self._resume(loaded)
        self._committing = asyncio.create_task(self._commit())

    def _connect(self) -> None:
        # The parts form a ring (turns have effects, effects make turns); these four links close it.
        def turn(instance: Instance) -> Work:
            return TurnWork(self.turns, instance)

        def end(instance: Instance) -> None:
            self.completion.terminate(instance)

        def unlock(instance_id: str) -> None:
            self.locks.release(instance_id)

        def grant(request: LockRequest) -> None:
            self.locks.grant(request)

        registry, journal, timers, dispatch = self.registry, self.journal, self.timers, self.dispatch
        self.inbox = inbox = Inbox(journal, timers, dispatch, turn=turn, end=end)
        self.completion = Completion(registry, journal, timers, inbox, unlock=unlock)
        self.starts = Starts(registry, journal, timers, inbox, self.completion, self.options.default_version)
        self.activities = Activities(registry, journal, timers, dispatch, inbox)
        self.entities = Entities(registry, journal, timers, dispatch, inbox, self.starts, grant=grant)
        self.locks = Locks(registry, journal, timers, inbox, self.entities)
        self.actions = Actions(
            registry,
            timers,
            inbox,
            self.starts,
            self.activities,
            self.entities,
            self.locks,
            self.completion,
        )
        self.rewind = Rewind(
            registry,
            journal,
            timers,
            inbox,
            self.starts,
            self.completion,
            self.activities,
            self.actions,
            self.entities,
            self.history,
        )
        continuation = Continuation(journal, timers, inbox, self.completion)
        self.turns = Turns(
            journal, timers, inbox, self.actions, self.completion, continuation, self._finish_rewind
        )

    def _resume(self, loaded: Loaded) -> None:
        for instance in loaded.instances.values():
            self.registry.add(instance)
        for entity in loaded.entities.values():
            self.entities.add(entity)
            if entity.lock_owner is not None:
                self.locks.held(entity.id, entity.lock_owner)
        for (instance_id, timer_id), at in loaded.timers.items():
            self.actions.arm_timer(loaded.instances[instance_id], timer_id, at)
        for message in loaded.messages:
            self._carry(message)
        for instance in loaded.instances.values():
            for activity in instance.activities.values():
                self.activities.resume(activity)

    def _carry(self, message: Message) -> None:
        if message.kind == REQUESTED:
            self.locks.carry(message)
        elif message.target.startswith("@"):
            self.entities.carry(message)
        else:
            instance = self.registry.live(message.target)
            if instance is None:
                self.journal.consumed(message)
            else:
                self.inbox.carry(instance, message)

    async def _instance(self, instance_id: str) -> Instance | None:
        if self._failed is not None:
            raise self._failed
        return await self._reading.instance(instance_id)

    async def history(self, instance: Instance) -> list[bytes]:
        """The pieces of an instance's history, all of them durable."""
        pieces = None if instance.history is None else list(instance.history)
        execution = instance.execution
        await self.journal.durable(instance.batch)
        return await self._reading.history(execution) if pieces is None else pieces

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background; its failure is the hub's."""
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def fail(self, error: BaseException) -> None:
        """Stop everything: what is in memory may not be what is durable, or not be right at all."""
        if self._failed is not None:
            return
        lost = error if isinstance(error, HubLost) else HubLost(f"The task hub failed: {error!r}")
        if lost is not error:
            lost.__cause__ = error
        self._failed = lost
        self.dispatch.stop()
        self.timers.stop()
        self.journal.fail(lost)
        self._report(lost)

    def done(self, work: Work, answer: Any) -> None:
        """A consumer has done its work; anything that goes wrong with the answer is the hub's own fault."""
        if self._failed is not None:
            return
        try:
            work.finish(answer)
        except Exception as exc:  # noqa: BLE001 - half-applied decisions must not be committed
            self.fail(exc)

    async def close(self) -> None:
        """Hand out nothing more, commit everything."""
        self.dispatch.stop()
        self.timers.stop()
        for task in list(self._tasks):
            await asyncio.wait([task])
        self.journal.drain()
        await asyncio.wait([self._committing])

    def abandon(self) -> None:
        """Stop at once, as if the process had died."""
        self._failed = HubLost("The task hub was abandoned.")
        self.dispatch.stop()
        self.timers.stop()
        self._committing.cancel()
        for task in self._tasks:
            task.cancel()

    def _finish_rewind(self, instance: Instance, turn: Turn, action: pb.RewindOrchestrationAction) -> None:
        self.spawn(self.rewind.finish(instance, turn, action))

    async def _commit(self) -> None:
        await self._guard(self.journal.run())

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as exc:  # noqa: BLE001 - a hub that cannot commit must not go on
            self.fail(exc)
