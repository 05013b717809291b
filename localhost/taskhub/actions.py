"""What an orchestrator can decide in a turn, apart from ending it: one handler for each kind of action."""

from collections.abc import Callable, Iterable, Mapping

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import events
from localhost.taskhub.activities import Activities
from localhost.taskhub.completion import Completion
from localhost.taskhub.entities import Entities
from localhost.taskhub.events import seconds, unwrapped
from localhost.taskhub.inbox import Inbox
from localhost.taskhub.loading import new_activity
from localhost.taskhub.locks import Locks
from localhost.taskhub.model import Instance
from localhost.taskhub.registry import Registry
from localhost.taskhub.starts import Starts
from localhost.taskhub.timers import Timers

type _Action = pb.OrchestratorAction
type _Event = pb.HistoryEvent


class Actions:
    """Carries out the decisions of a turn."""

    def __init__(
        self,
        registry: Registry,
        timers: Timers,
        inbox: Inbox,
        starts: Starts,
        activities: Activities,
        entities: Entities,
        locks: Locks,
        completion: Completion,
    ) -> None:
        self._registry = registry
        self._timers = timers
        self._inbox = inbox
        self._starts = starts
        self._activities = activities
        self._entities = entities
        self._locks = locks
        self._completion = completion

    def apply(self, instance: Instance, actions: Iterable[_Action]) -> list[bytes]:
        """Carry the actions out; the history events that record them, encoded."""
        now = events.timestamp(self._timers.now())
        recorded = []
        for action in actions:
            handler = _HANDLERS.get(action.WhichOneof("orchestratorActionType") or "")
            if handler is None:
                continue
            event = pb.HistoryEvent(eventId=action.id, timestamp=now)
            handler(self, instance, action, event)
            if event.WhichOneof("eventType"):
                recorded.append(event.SerializeToString())
        return recorded

    def arm_timer(self, instance: Instance, timer_id: int, fire_at: float) -> None:
        """Have the instance told when the time has come."""

        def fire() -> None:
            del instance.timers[timer_id]
            event = events.timer_fired(self._timers.now(), timer_id, fire_at)
            self._inbox.send(instance, "timerFired", event)

        instance.timers[timer_id] = self._timers.at(fire_at, fire)

    def _schedule_task(self, instance: Instance, action: _Action, event: _Event) -> None:
        task = action.scheduleTask
        event.taskScheduled.name = task.name
        if task.HasField("version"):
            event.taskScheduled.version.CopyFrom(task.version)
        if task.HasField("input"):
            event.taskScheduled.input.CopyFrom(task.input)
        if task.HasField("parentTraceContext"):
            event.taskScheduled.parentTraceContext.CopyFrom(task.parentTraceContext)
        event.taskScheduled.tags.update(task.tags)
        self._activities.schedule(instance, new_activity(instance, event))

    def _create_timer(self, instance: Instance, action: _Action, event: _Event) -> None:
        event.timerCreated.fireAt.CopyFrom(action.createTimer.fireAt)
        self.arm_timer(instance, action.id, seconds(action.createTimer.fireAt))

    def _create_child(self, instance: Instance, action: _Action, event: _Event) -> None:
        child = action.createSubOrchestration
        child_id = child.instanceId or f"{instance.id}:{action.id:04x}"
        created = event.subOrchestrationInstanceCreated
        created.instanceId = child_id
        created.name = child.name
        if child.HasField("version"):
            created.version.CopyFrom(child.version)
        if child.HasField("input"):
            created.input.CopyFrom(child.input)
        if child.HasField("parentTraceContext"):
            created.parentTraceContext.CopyFrom(child.parentTraceContext)
        created.tags.update(child.tags)
        self._starts.start_child(instance, action.id, child, child_id)

    def _send_event(self, instance: Instance, action: _Action, event: _Event) -> None:
        sent = action.sendEvent
        event.eventSent.instanceId = sent.instance.instanceId
        event.eventSent.name = sent.name
        if sent.HasField("data"):
            event.eventSent.input.CopyFrom(sent.data)
        target = self._registry.live(sent.instance.instanceId)
        if target is not None:  # to one that has finished or never was, events are lost
            raised = events.event_raised(self._timers.now(), sent.name, unwrapped(sent, "data"))
            self._inbox.send(target, "eventRaised", raised)

    def _terminate(self, instance: Instance, action: _Action, event: _Event) -> None:
        order = action.terminateOrchestration
        target = self._registry.live(order.instanceId)
        if target is not None:
            reason = unwrapped(order, "reason")
            self._completion.order_termination(target, reason, recursive=order.recurse)

    def _send_entity_message(self, instance: Instance, action: _Action, event: _Event) -> None:
        message = action.sendEntityMessage
        kind = message.WhichOneof("EntityMessageType")
        if kind is not None:
            _MESSAGES[kind](self, instance, message, event)

    def _signal(self, instance: Instance, message: pb.SendEntityMessageAction, event: _Event) -> None:
        signal = message.entityOperationSignaled
        event.entityOperationSignaled.CopyFrom(signal)
        visible = seconds(signal.scheduledTime) if signal.HasField("scheduledTime") else None
        self._entities.send(
            signal.targetInstanceId.value, "entityOperationSignaled", event.SerializeToString(), visible
        )

    def _call(self, instance: Instance, message: pb.SendEntityMessageAction, event: _Event) -> None:
        event.entityOperationCalled.CopyFrom(message.entityOperationCalled)
        event.entityOperationCalled.parentInstanceId.value = instance.id
        event.entityOperationCalled.parentExecutionId.value = instance.execution_id
        instance.calls.add(event.entityOperationCalled.requestId)
        target = event.entityOperationCalled.targetInstanceId.value
        self._entities.send(target, "entityOperationCalled", event.SerializeToString())

    def _lock(self, instance: Instance, message: pb.SendEntityMessageAction, event: _Event) -> None:
        event.entityLockRequested.CopyFrom(message.entityLockRequested)
        event.entityLockRequested.parentInstanceId.value = instance.id
        self._locks.request(event)

    def _unlock(self, instance: Instance, message: pb.SendEntityMessageAction, event: _Event) -> None:
        unlock = message.entityUnlockSent
        event.entityUnlockSent.CopyFrom(unlock)
        self._locks.unlock(unlock.targetInstanceId.value, unlock.criticalSectionId)


_HANDLERS: Mapping[str, Callable[[Actions, Instance, _Action, _Event], None]] = {
    "scheduleTask": Actions._schedule_task,
    "createTimer": Actions._create_timer,
    "createSubOrchestration": Actions._create_child,
    "sendEvent": Actions._send_event,
    "terminateOrchestration": Actions._terminate,
    "sendEntityMessage": Actions._send_entity_message,
}
_MESSAGES: Mapping[str, Callable[[Actions, Instance, pb.SendEntityMessageAction, _Event], None]] = {
    "entityOperationSignaled": Actions._signal,
    "entityOperationCalled": Actions._call,
    "entityLockRequested": Actions._lock,
    "entityUnlockSent": Actions._unlock,
}
