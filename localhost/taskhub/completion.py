"""How an execution ends: with a result, by termination, by going on as a new one, or by being replaced."""

from collections.abc import Callable

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import events, statuses
from localhost.taskhub.inbox import TERMINATED, Inbox
from localhost.taskhub.journal import Journal
from localhost.taskhub.model import Instance
from localhost.taskhub.registry import Registry
from localhost.taskhub.timers import Timers


class Completion:
    """Ends instances. `unlock` releases every entity lock an instance holds or waits for."""

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        timers: Timers,
        inbox: Inbox,
        *,
        unlock: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._timers = timers
        self._inbox = inbox
        self._unlock = unlock

    def finish(
        self,
        instance: Instance,
        status: int,
        *,
        output: str | None = None,
        failure: pb.TaskFailureDetails | None = None,
        news: list[bytes],
    ) -> None:
        """The instance has come to its end; `news` are the events of its last turn."""
        now = self._timers.now()
        ended = events.execution_completed(now, status, output, failure)
        instance.record([*news, events.turn_completed(now), ended])
        instance.status = status
        instance.output = output
        instance.failure = failure.SerializeToString() if failure is not None else None
        instance.updated = instance.completed = now
        self._clear(instance)
        instance.history = None
        self._journal.changed(instance)
        self._journal.after(lambda: self._registry.retire(instance))
        self.tell_parent(instance)
        instance.announce()

    def terminate(self, instance: Instance) -> None:
        """Carry out the termination that has arrived. Children first hear of it when it is recursive."""
        message = instance.ending
        assert message is not None
        order = pb.HistoryEvent.FromString(message.event).executionTerminated
        children = list(instance.children.values()) if order.recurse else []
        output = order.input.value if order.HasField("input") else None
        news = [events.turn_started(self._timers.now()), message.event]
        self.finish(instance, statuses.TERMINATED, output=output, news=news)
        for child_id in children:
            child = self._registry.live(child_id)
            if child is not None:
                self.order_termination(child, output, recursive=True)

    def order_termination(self, instance: Instance, output: str | None, *, recursive: bool) -> None:
        """End a live instance: at once, or when the turn it is in has ended."""
        if instance.ending is None:
            event = events.terminated(self._timers.now(), output, recursive=recursive)
            self._inbox.send(instance, TERMINATED, event)

    def discard(self, instance: Instance) -> None:
        """Another instance takes the place of this one, live as it is."""
        self._clear(instance)
        instance.unsaved.clear()
        instance.status = statuses.TERMINATED

    def tell_parent(self, instance: Instance) -> None:
        """Send the outcome to the parent, if it still waits for it."""
        link = instance.parent
        if link is None:
            return
        parent = self._registry.live(link.instance_id)
        if parent is None or parent.execution != link.execution:
            return
        if parent.children.get(link.task_id) != instance.id:
            return
        del parent.children[link.task_id]
        kind, event = events.child_finished(
            self._timers.now(), link.task_id, instance.output, _failure(instance)
        )
        self._inbox.send(parent, kind, event)

    def _clear(self, instance: Instance) -> None:
        drop_waits(instance, self._timers)
        delivering = instance.turn.messages if instance.turn else []
        for message in (*delivering, *instance.inbox, instance.ending, instance.delayed):
            if message is not None:
                self._journal.consumed(message)
        instance.inbox = []
        instance.turn = instance.ending = instance.delayed = None
        self._unlock(instance.id)


def drop_waits(instance: Instance, timers: Timers) -> None:
    """The execution is over: nothing that was under way for it counts any more."""
    for deadline in instance.timers.values():
        timers.cancel(deadline)
    if instance.hold is not None:
        timers.cancel(instance.hold)
        instance.hold = None
    instance.timers.clear()
    instance.activities.clear()
    instance.children.clear()
    instance.calls.clear()
    instance.not_before = 0.0


def _failure(instance: Instance) -> pb.TaskFailureDetails | None:
    if instance.status == statuses.COMPLETED:
        return None
    if instance.failure is not None:
        return pb.TaskFailureDetails.FromString(instance.failure)
    return pb.TaskFailureDetails(
        errorType="OrchestrationTerminated",
        errorMessage=f"Sub-orchestration '{instance.id}' was terminated.",
    )
