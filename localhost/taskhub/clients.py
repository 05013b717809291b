"""What clients can ask of the hub. Every method returns when its effect is durable."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import events, rows, statuses, wire
from localhost.taskhub.core import Core
from localhost.taskhub.errors import InstanceExists, InvalidRequest, UnknownInstance, WrongStatus
from localhost.taskhub.events import text
from localhost.taskhub.ids import LONGEST, is_instance_id
from localhost.taskhub.model import Instance
from localhost.taskhub.reader import Filter, Page, Reader, parse_token
from localhost.taskhub.starts import NewInstance


class Clients:
    """Operations on orchestrations."""

    def __init__(self, core: Core, reader: Reader) -> None:
        self._core = core
        self._reader = reader

    async def start(self, wanted: NewInstance, replaceable: frozenset[int] | None) -> str:
        """Start an instance; its id. `replaceable` None is the hub's own policy.

        Raises InstanceExists if the id is taken by an instance of another status.
        """
        wanted = replace(wanted, id=wanted.id or uuid.uuid4().hex)
        _check_id(wanted.id)
        if not wanted.name:
            raise InvalidRequest("A start request has to name its orchestrator.")
        allowed = self._core.options.replaceable if replaceable is None else replaceable
        existing = await self._in_the_way(wanted.id, allowed)
        if existing is not None:
            status = pb.OrchestrationStatus.Name(existing.status).removeprefix("ORCHESTRATION_STATUS_")
            raise InstanceExists(f"There is an orchestration instance '{wanted.id}' already; it is {status}.")
        instance = self._core.starts.start(wanted)
        await self._core.journal.durable(instance.batch)
        return instance.id

    async def _in_the_way(self, instance_id: str, replaceable: frozenset[int]) -> Instance | None:
        """The instance that has this id already and may not be replaced."""
        if replaceable >= statuses.FINISHED:
            # Only a live one matters, and every live one is in memory: the database need not be asked.
            existing = self._core.registry.live(instance_id)
        else:
            existing = await self._core.registry.find(instance_id)
        return None if existing is None or existing.status in replaceable else existing

    async def get(self, instance_id: str) -> tuple[pb.OrchestrationState, str | None] | None:
        """State and input of an instance; None if there is none."""
        instance = await self._core.registry.find(instance_id)
        return None if instance is None else await self._view(instance)

    async def wait(
        self, instance_id: str, reached: Callable[[Instance], bool]
    ) -> tuple[pb.OrchestrationState, str | None] | None:
        """State and input once the instance has reached something; None if there is no such instance."""
        while True:
            instance = await self._core.registry.find(instance_id)
            if instance is None:
                return None
            if reached(instance):
                return await self._view(instance)
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            instance.waiters.append(changed)
            try:
                await changed
            finally:
                if changed in instance.waiters:
                    instance.waiters.remove(changed)

    async def raise_event(self, instance_id: str, name: str, value: str | None) -> None:
        """Send an external event; to a finished instance it is lost."""
        instance = await self._existing(instance_id)
        if not instance.finished:
            event = events.event_raised(self._core.timers.now(), name, value)
            self._core.inbox.send(instance, "eventRaised", event)
            await self._core.journal.durable()

    async def terminate(self, instance_id: str, output: str | None, *, recursive: bool) -> None:
        """End an instance, and its sub-orchestrations too if recursive."""
        instance = await self._existing(instance_id)
        if not instance.finished:
            self._core.completion.order_termination(instance, output, recursive=recursive)
            await self._core.journal.durable()

    async def suspend(self, instance_id: str, reason: str | None) -> None:
        """Let an instance take no further steps until it is resumed."""
        suspended = pb.ExecutionSuspendedEvent(input=text(reason))
        event = events.encode(self._core.timers.now(), executionSuspended=suspended)
        await self._set_suspended(instance_id, event, suspended=True)

    async def resume(self, instance_id: str, reason: str | None) -> None:
        """Let a suspended instance go on."""
        resumed = pb.ExecutionResumedEvent(input=text(reason))
        event = events.encode(self._core.timers.now(), executionResumed=resumed)
        await self._set_suspended(instance_id, event, suspended=False)

    async def restart(self, instance_id: str, *, new_id: bool) -> str:
        """Start a finished instance again with the same name, input, version and tags; the id."""
        instance = await self._existing(instance_id)
        if not instance.finished:
            raise WrongStatus(f"Only a finished instance can be restarted; '{instance_id}' is not finished.")
        again = NewInstance(
            id=uuid.uuid4().hex if new_id else instance_id,
            name=instance.name,
            input=instance.input,
            version=instance.version,
            tags=dict(instance.tags),
        )
        started = self._core.starts.start(again)
        await self._core.journal.durable(started.batch)
        return started.id

    async def rewind(self, instance_id: str, reason: str | None) -> None:
        """Let a failed instance forget its failures and go on."""
        instance = await self._core.rewind.request(instance_id, reason)
        await self._core.journal.durable(instance.batch)

    async def history(self, instance_id: str) -> list[pb.HistoryEvent]:
        """All events of the present execution."""
        instance = await self._existing(instance_id)
        return wire.history_events(await self._core.history(instance))

    async def query(self, wanted: Filter, after: str | None, size: int) -> Page[Instance]:
        """Instances in the order of their creation."""
        _check_token(after)
        await self._core.journal.durable()
        return await self._reader.query(wanted, after, size)

    async def finished_ids(self, wanted: Filter, after: str | None, size: int) -> Page[str]:
        """Ids of finished instances in the order of their completion."""
        _check_token(after)
        await self._core.journal.durable()
        return await self._reader.finished_ids(wanted, after, size)

    async def _set_suspended(self, instance_id: str, event: bytes, *, suspended: bool) -> None:
        instance = await self._existing(instance_id)
        if not instance.finished:
            self._core.inbox.set_suspended(instance, event, suspended=suspended)
            await self._core.journal.durable()

    async def _existing(self, instance_id: str) -> Instance:
        instance = await self._core.registry.find(instance_id)
        if instance is None:
            raise UnknownInstance(instance_id)
        return instance

    async def _view(self, instance: Instance) -> tuple[pb.OrchestrationState, str | None]:
        view = rows.state(instance), instance.input
        await self._core.journal.durable(instance.batch)
        return view


def started(instance: Instance) -> bool:
    """Whether its first turn has taken place."""
    return instance.status != statuses.PENDING


def finished(instance: Instance) -> bool:
    """Whether it has come to its end."""
    return instance.finished


def _check_id(instance_id: str) -> None:
    if not is_instance_id(instance_id):
        raise InvalidRequest(
            f"An instance id may not begin with '@', contain a zero character or exceed {LONGEST} bytes: "
            f"{instance_id[:100]!r}."
        )


def _check_token(token: str | None) -> None:
    try:
        parse_token(token)
    except ValueError as exc:
        raise InvalidRequest(f"{token!r} is not a continuation token of this hub.") from exc
