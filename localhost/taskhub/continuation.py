"""Continue-as-new: the same instance goes on as a new execution with an empty history."""

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import events, statuses
from localhost.taskhub.completion import Completion, drop_waits
from localhost.taskhub.inbox import EXECUTION_STARTED, RESUMED, SUSPENDED, Inbox
from localhost.taskhub.journal import Journal
from localhost.taskhub.model import Instance
from localhost.taskhub.registry import new_execution_id
from localhost.taskhub.starts import started_event
from localhost.taskhub.timers import Timers

# What is meant for the instance rather than for one of its executions.
_LASTING = frozenset({"eventRaised", SUSPENDED, RESUMED})


class Continuation:
    """Starts the next execution of an instance."""

    def __init__(self, journal: Journal, timers: Timers, inbox: Inbox, completion: Completion) -> None:
        self._journal = journal
        self._timers = timers
        self._inbox = inbox
        self._completion = completion

    def start(self, instance: Instance, action: pb.CompleteOrchestrationAction) -> None:
        """Begin anew with the given input; events come along, results of the old execution do not."""
        drop_waits(instance, self._timers)
        halted = instance.status == statuses.SUSPENDED
        waiting, instance.inbox = instance.inbox, []
        self._renew(instance, action)
        # Everything gets a new number: messages are read back in the order of their numbers.
        self._inbox.send(instance, EXECUTION_STARTED, started_event(instance, self._timers.now()))
        for carried in action.carryoverEvents:
            kind = carried.WhichOneof("eventType") or ""
            self._inbox.send(instance, kind, carried.SerializeToString())
        if halted:
            suspended = pb.ExecutionSuspendedEvent()
            event = events.encode(self._timers.now(), executionSuspended=suspended)
            self._inbox.send(instance, SUSPENDED, event)
        for message in waiting:
            self._journal.consumed(message)
            if message.kind in _LASTING:
                self._inbox.send(instance, message.kind, message.event)
        if instance.ending is not None:
            self._completion.terminate(instance)

    def _renew(self, instance: Instance, action: pb.CompleteOrchestrationAction) -> None:
        instance.execution = self._journal.next_id()
        instance.execution_id = new_execution_id()
        instance.fresh = True
        instance.history = []
        instance.unsaved.clear()
        instance.sequence = instance.events = 0
        instance.urgency = 0
        instance.turn = None
        instance.status = statuses.RUNNING
        instance.input = action.result.value if action.HasField("result") else None
        if action.HasField("newVersion"):
            instance.version = action.newVersion.value
        if action.tags:
            instance.tags = dict(action.tags)
        self._journal.changed(instance)
