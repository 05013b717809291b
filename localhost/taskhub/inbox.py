"""What arrives at an instance, and when that makes a turn."""

from collections.abc import Callable

from localhost.taskhub import events, statuses
from localhost.taskhub.dispatch import Dispatch, Work
from localhost.taskhub.journal import Journal
from localhost.taskhub.model import Instance, Message, Turn
from localhost.taskhub.timers import Timers

EXECUTION_STARTED = "executionStarted"
EXECUTION_REWOUND = "executionRewound"
TERMINATED = "executionTerminated"
SUSPENDED = "executionSuspended"
RESUMED = "executionResumed"

_START_TIMER = -1  # the timer ids of the SDK are positive

_IDLE, _COMPLETION, _EVENT, _CONTROL = range(4)
_URGENCY = {
    "taskCompleted": _COMPLETION,
    "taskFailed": _COMPLETION,
    "subOrchestrationInstanceCompleted": _COMPLETION,
    "subOrchestrationInstanceFailed": _COMPLETION,
    "entityOperationCompleted": _COMPLETION,
    "entityOperationFailed": _COMPLETION,
    RESUMED: _CONTROL,
}
_HALTS = {SUSPENDED: True, RESUMED: False}
# Lost in a crash these come again: history says which activities and timers are open.
_UNHURRIED = frozenset({"taskCompleted", "taskFailed", "timerFired"})

# The SDK replays about 25 events in a millisecond. Below this many, waiting costs more than it saves.
_CHEAP_EVENTS = 100
_REPLAY_SECONDS = 40e-6
_HOLD_FACTOR = 4
_LONGEST_HOLD = 1.0


class Inbox:
    """Sends events to instances and starts their turns.

    After an expensive turn, one that replays a long history, mere completions are gathered for a while: every
    turn would replay it all again. Not if nothing else is outstanding, and never anything but completions.
    """

    def __init__(
        self,
        journal: Journal,
        timers: Timers,
        dispatch: Dispatch,
        *,
        turn: Callable[[Instance], Work],
        end: Callable[[Instance], None],
    ) -> None:
        self._journal = journal
        self._timers = timers
        self._dispatch = dispatch
        self._turn = turn
        self._end = end

    def send(self, instance: Instance, kind: str, event: bytes, visible: float | None = None) -> None:
        """Put an event on its way; it arrives now, or when it becomes visible."""
        message = Message(self._journal.next_id(), instance.id, kind, event, visible)
        self._journal.sent(message, hurry=kind not in _UNHURRIED)
        self.carry(instance, message)

    def carry(self, instance: Instance, message: Message) -> None:
        """Deliver a message that is already in the journal, when it is due."""
        if message.visible is not None and message.visible > self._timers.now():
            instance.delayed = message
            instance.timers[_START_TIMER] = self._timers.at(
                message.visible, lambda: self._arrive(instance, message)
            )
        else:
            self._arrive(instance, message)

    def _arrive(self, instance: Instance, message: Message) -> None:
        if message.kind == TERMINATED:
            instance.ending = message
            if instance.turn is None:
                self._end(instance)
            return
        if message.kind == EXECUTION_STARTED:
            instance.delayed = None
            instance.inbox.insert(0, message)  # whatever came before a scheduled start follows it
        else:
            instance.inbox.append(message)
        instance.urgency = max(instance.urgency, _URGENCY.get(message.kind, _EVENT))
        self.wake(instance)

    def wake(self, instance: Instance) -> None:
        """Start a turn if there is reason to."""
        if instance.turn is not None or instance.queued or not instance.inbox or instance.finished:
            return
        if instance.status == statuses.SUSPENDED:
            if instance.urgency < _CONTROL:
                return
        elif instance.sequence == 0:
            if instance.inbox[0].kind != EXECUTION_STARTED:
                return
        elif self._held(instance):
            return
        instance.queued = True
        self._dispatch.push(self._turn(instance))

    def _held(self, instance: Instance) -> bool:
        wait = instance.not_before - self._timers.now()
        if instance.urgency > _COMPLETION or wait <= 0 or not instance.outstanding:
            return False
        if instance.hold is None:
            instance.hold = self._timers.at(instance.not_before, lambda: self._release(instance))
        return True

    def _release(self, instance: Instance) -> None:
        instance.hold = None
        self.wake(instance)

    def set_suspended(self, instance: Instance, event: bytes, *, suspended: bool) -> None:
        """Send a suspension or resumption, unless it would change nothing: the SDK fails over those."""
        halted = instance.status == statuses.SUSPENDED
        delivering = instance.turn.messages if instance.turn else []
        for message in (*delivering, *instance.inbox):
            halted = _HALTS.get(message.kind, halted)
        if halted != suspended:
            self.send(instance, SUSPENDED if suspended else RESUMED, event)

    def begin(self, instance: Instance) -> Turn | None:
        """Take what has arrived into a new turn; None if the instance has no use for one any more."""
        instance.queued = False
        if instance.finished or instance.turn is not None or not instance.inbox:
            return None
        messages, rest = _split(instance.inbox)
        instance.inbox = rest
        instance.urgency = _urgency(rest)
        news = [events.turn_started(self._timers.now()), *(message.event for message in messages)]
        instance.turn = Turn(messages, news)
        return instance.turn

    def restore(self, instance: Instance, turn: Turn) -> None:
        """The turn did not take place: its messages are as if just arrived."""
        instance.turn = None
        instance.inbox = turn.messages + instance.inbox
        instance.urgency = _urgency(instance.inbox)
        if instance.ending is not None:
            self._end(instance)

    def turn_done(self, instance: Instance) -> None:
        """Look at what arrived during the turn that has just been recorded."""
        if instance.events > _CHEAP_EVENTS:
            hold = min(_LONGEST_HOLD, instance.events * _REPLAY_SECONDS * _HOLD_FACTOR)
            instance.not_before = self._timers.now() + hold
        self.wake(instance)


def _split(inbox: list[Message]) -> tuple[list[Message], list[Message]]:
    """What the next turn delivers, and what stays."""
    for place, message in enumerate(inbox):
        if message.kind == EXECUTION_REWOUND:  # the SDK wants to see nothing beside it
            return [message], [*inbox[:place], *inbox[place + 1 :]]
        if message.kind == SUSPENDED:  # the SDK would lose what follows if it continues as new in this turn
            return inbox[: place + 1], inbox[place + 1 :]
    return inbox, []


def _urgency(messages: list[Message]) -> int:
    return max((_URGENCY.get(message.kind, _EVENT) for message in messages), default=_IDLE)
