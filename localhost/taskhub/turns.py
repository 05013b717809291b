"""Turns of orchestrations: what has arrived goes to the orchestrator, its decisions come back."""

from collections.abc import Callable

from durabletask.internal import orchestrator_service_pb2 as pb

from localhost.taskhub import dispatch, events, statuses, wire
from localhost.taskhub.actions import Actions
from localhost.taskhub.completion import Completion
from localhost.taskhub.continuation import Continuation
from localhost.taskhub.events import unwrapped
from localhost.taskhub.inbox import Inbox
from localhost.taskhub.journal import Journal
from localhost.taskhub.model import Instance, Message, Turn
from localhost.taskhub.timers import Timers

_RETRY_SECONDS = 1.0
_STATUS_AFTER = {"executionSuspended": statuses.SUSPENDED, "executionResumed": statuses.RUNNING}


class TurnWork:
    """A turn of one instance for a consumer. See `dispatch.Work`."""

    kind = dispatch.TURN

    def __init__(self, turns: "Turns", instance: Instance) -> None:
        self._turns = turns
        self.instance = instance
        self.turn: Turn | None = None
        self.root = instance.root
        self.name = instance.name
        self.version = instance.version or ""

    def begin(self) -> bytes | None:
        """The encoded request."""
        self.turn = self._turns.begin(self.instance)
        if self.turn is None:
            return None
        instance = self.instance
        return wire.request(
            instance.id,
            instance.execution_id,
            instance.history or (),
            wire.new(self.turn.news),
            instance.trace,
        )

    def finish(self, answer: bytes) -> None:
        """Record what the orchestrator decided."""
        assert self.turn is not None
        self._turns.finish(self.instance, self.turn, pb.OrchestratorResponse.FromString(answer))

    def abandon(self) -> None:
        """Let another worker have the turn, a little later."""
        assert self.turn is not None
        self._turns.retry(self.instance, self.turn)


class Turns:
    """Begins and ends turns. `rewind` takes over a turn whose answer is a rewritten history."""

    def __init__(
        self,
        journal: Journal,
        timers: Timers,
        inbox: Inbox,
        actions: Actions,
        completion: Completion,
        continuation: Continuation,
        rewind: Callable[[Instance, Turn, pb.RewindOrchestrationAction], None],
    ) -> None:
        self._journal = journal
        self._timers = timers
        self._inbox = inbox
        self._actions = actions
        self._completion = completion
        self._continuation = continuation
        self._rewind = rewind

    def begin(self, instance: Instance) -> Turn | None:
        """Take what has arrived; None if there is nothing to do any more."""
        return self._inbox.begin(instance)

    def retry(self, instance: Instance, turn: Turn) -> None:
        """The turn did not take place."""

        def again() -> None:
            if instance.turn is turn:
                self._inbox.restore(instance, turn)
                self._inbox.wake(instance)

        self._timers.at(self._timers.now() + _RETRY_SECONDS, again)

    def finish(self, instance: Instance, turn: Turn, response: pb.OrchestratorResponse) -> None:
        """Apply the decisions of a turn; those of a turn that was overtaken by events are dropped."""
        if instance.turn is not turn:
            return
        for action in response.actions:
            if action.HasField("rewindOrchestration"):
                self._rewind(instance, turn, action.rewindOrchestration)
                return
        self._progress(instance, turn.messages, response)
        decided = [*turn.news, *self._actions.apply(instance, response.actions)]
        for message in turn.messages:
            self._journal.consumed(message)
        turn.messages = []
        last = _completion(response)
        if last is None:
            self._go_on(instance, decided)
        elif last.orchestrationStatus == statuses.CONTINUED:
            self._continuation.start(instance, last)
        else:
            self._end(instance, last, decided)

    def _progress(
        self, instance: Instance, messages: list[Message], response: pb.OrchestratorResponse
    ) -> None:
        before = instance.status
        if instance.status == statuses.PENDING:
            instance.status = statuses.RUNNING
        for message in messages:
            instance.status = _STATUS_AFTER.get(message.kind, instance.status)
        instance.custom_status = unwrapped(response, "customStatus")
        instance.updated = self._timers.now()
        if response.HasField("orchestrationTraceContext"):
            instance.trace = response.orchestrationTraceContext.SerializeToString()
        self._journal.changed(instance)
        if instance.status != before:
            instance.announce()

    def _go_on(self, instance: Instance, decided: list[bytes]) -> None:
        instance.record([*decided, events.turn_completed(self._timers.now())])
        instance.turn = None
        if instance.ending is not None:
            self._completion.terminate(instance)
        else:
            self._inbox.turn_done(instance)

    def _end(self, instance: Instance, last: pb.CompleteOrchestrationAction, decided: list[bytes]) -> None:
        status = int(last.orchestrationStatus)
        self._completion.finish(
            instance,
            status if status in statuses.FINISHED else statuses.FAILED,
            output=unwrapped(last, "result"),
            failure=last.failureDetails if last.HasField("failureDetails") else None,
            news=decided,
        )


def _completion(response: pb.OrchestratorResponse) -> pb.CompleteOrchestrationAction | None:
    for action in response.actions:
        if action.HasField("completeOrchestration"):
            return action.completeOrchestration
    return None
