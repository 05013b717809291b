"""Rewind: a failed orchestration forgets its failures and goes on from where it was.

The SDK rewrites the history: it gets the old one with an `executionRewound` event and answers with one
without the failures. Sub-orchestrations that failed are rewound in the same way, purged ones start again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import events, statuses, wire
from localhost.taskhub.actions import Actions
from localhost.taskhub.activities import Activities
from localhost.taskhub.completion import Completion
from localhost.taskhub.entities import Entities
from localhost.taskhub.errors import UnknownInstance, WrongStatus
from localhost.taskhub.events import text, unwrapped
from localhost.taskhub.inbox import EXECUTION_REWOUND, Inbox
from localhost.taskhub.journal import Journal
from localhost.taskhub.loading import resume
from localhost.taskhub.model import Instance, Parent, Turn
from localhost.taskhub.registry import Registry, new_execution_id
from localhost.taskhub.starts import Starts
from localhost.taskhub.timers import Timers

type History = Callable[[Instance], Awaitable[list[bytes]]]


@dataclass(frozen=True)
class _Child:
    """A sub-orchestration that the rewritten history still waits for. `history` if it has failed."""

    created: pb.HistoryEvent
    instance: Instance | None
    history: list[bytes] | None

    @property
    def current(self) -> bool:
        """Whether it is still as it was read."""
        return self.instance is None or self.instance.status != statuses.FAILED or self.history is not None


class Rewind:
    """Rewinds instances. `history` reads that of a finished instance, once it is durable."""

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        timers: Timers,
        inbox: Inbox,
        starts: Starts,
        completion: Completion,
        activities: Activities,
        actions: Actions,
        entities: Entities,
        history: History,
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._timers = timers
        self._inbox = inbox
        self._starts = starts
        self._completion = completion
        self._activities = activities
        self._actions = actions
        self._entities = entities
        self._history = history

    async def request(self, instance_id: str, reason: str | None) -> Instance:
        """Rewind a failed instance. Raises UnknownInstance or WrongStatus."""
        while True:
            instance = await self._registry.find(instance_id)
            if instance is None:
                raise UnknownInstance(instance_id)
            if instance.status != statuses.FAILED:
                raise WrongStatus(f"Only a failed instance can be rewound; '{instance_id}' is not failed.")
            history = await self._history(instance)
            if self._registry.get(instance_id) is instance and instance.status == statuses.FAILED:
                self._begin(instance, history, reason)
                return instance

    def _begin(
        self, instance: Instance, history: list[bytes], reason: str | None, execution_id: str | None = None
    ) -> None:
        instance.status = statuses.RUNNING
        instance.completed = instance.output = instance.failure = None
        instance.updated = self._timers.now()
        instance.history = history
        instance.sequence = len(history)
        self._registry.add(instance)
        self._journal.changed(instance)
        rewound = pb.ExecutionRewoundEvent(reason=text(reason), parentExecutionId=text(execution_id))
        event = events.encode(self._timers.now(), executionRewound=rewound)
        self._inbox.send(instance, EXECUTION_REWOUND, event)

    async def finish(self, instance: Instance, turn: Turn, action: pb.RewindOrchestrationAction) -> None:
        """The SDK has rewritten the history: go on with it."""
        children = await self._children(action)
        while not all(child.current for child in children):
            children = await self._children(action)
        if instance.turn is turn:
            self._apply(instance, turn, action, children)

    async def _children(self, action: pb.RewindOrchestrationAction) -> list[_Child]:
        waiting: dict[int, pb.HistoryEvent] = {}
        for event in action.newHistory:
            if event.HasField("subOrchestrationInstanceCreated"):
                waiting[event.eventId] = event
            elif event.HasField("subOrchestrationInstanceCompleted"):
                waiting.pop(event.subOrchestrationInstanceCompleted.taskScheduledId, None)
        children = []
        for event in waiting.values():
            child = await self._registry.find(event.subOrchestrationInstanceCreated.instanceId)
            failed = child is not None and child.status == statuses.FAILED
            history = await self._history(child) if child is not None and failed else None
            children.append(_Child(event, child, history))
        return children

    def _apply(
        self,
        instance: Instance,
        turn: Turn,
        action: pb.RewindOrchestrationAction,
        children: list[_Child],
    ) -> None:
        self._replace_history(instance, action)
        for message in turn.messages:
            self._journal.consumed(message)
        instance.turn = None
        self._resume_waits(instance)
        reason = _reason(action)
        for child in children:
            self._resume_child(instance, child, reason)
        # Any event makes a turn; this one means nothing to the orchestrator.
        nothing = pb.GenericEvent(data=text("rewound"))
        event = events.encode(self._timers.now(), genericEvent=nothing)
        self._inbox.send(instance, "genericEvent", event)
        if instance.ending is not None:
            self._completion.terminate(instance)

    def _replace_history(self, instance: Instance, action: pb.RewindOrchestrationAction) -> None:
        instance.execution = self._journal.next_id()
        instance.execution_id = _execution_id(action)
        instance.fresh = True
        instance.history = []
        instance.unsaved.clear()
        instance.sequence = instance.events = 0
        instance.record([event.SerializeToString() for event in action.newHistory])
        instance.events = 0  # counted again by what follows
        self._journal.changed(instance)

    def _resume_waits(self, instance: Instance) -> None:
        for timer_id, fire_at in resume(instance).items():
            self._actions.arm_timer(instance, timer_id, fire_at)
        for activity in list(instance.activities.values()):
            self._activities.schedule(instance, activity)
        for event in wire.history_events(instance.history or ()):
            called = event.entityOperationCalled
            if event.HasField("entityOperationCalled") and called.requestId in instance.calls:
                # Its answer went to the failed execution, or it has not run yet: entities may see it twice.
                target = called.targetInstanceId.value
                self._entities.send(target, "entityOperationCalled", event.SerializeToString())

    def _resume_child(self, instance: Instance, child: _Child, reason: str | None) -> None:
        created = child.created.subOrchestrationInstanceCreated
        task_id = child.created.eventId
        if child.instance is None:
            self._starts.start_child(instance, task_id, _creation(created), created.instanceId)
            return
        link = Parent(instance.id, instance.name, instance.execution, instance.execution_id, task_id)
        found = child.instance
        found.parent = link
        found.fresh = True
        instance.children[task_id] = found.id
        self._journal.changed(found)
        if child.history is not None:
            self._begin(found, child.history, reason, instance.execution_id)
        elif found.finished:
            self._completion.tell_parent(found)


def _creation(created: pb.SubOrchestrationInstanceCreatedEvent) -> pb.CreateSubOrchestrationAction:
    action = pb.CreateSubOrchestrationAction(name=created.name, tags=dict(created.tags))
    if created.HasField("version"):
        action.version.CopyFrom(created.version)
    if created.HasField("input"):
        action.input.CopyFrom(created.input)
    if created.HasField("parentTraceContext"):
        action.parentTraceContext.CopyFrom(created.parentTraceContext)
    return action


def _reason(action: pb.RewindOrchestrationAction) -> str | None:
    reasons = [
        unwrapped(e.executionRewound, "reason") for e in action.newHistory if e.HasField("executionRewound")
    ]
    return reasons[-1] if reasons else None


def _execution_id(action: pb.RewindOrchestrationAction) -> str:
    for event in action.newHistory:
        if event.HasField("executionStarted"):
            given: str = event.executionStarted.orchestrationInstance.executionId.value
            return given or new_execution_id()
    return new_execution_id()
