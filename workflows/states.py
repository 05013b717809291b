"""Which state may follow which: one table for each kind of thing that has a state, and the one check."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from kernel.errors import Conflict


class RunState(StrEnum):
    """A run's states; the terminal ones have no successor but by an operator's retry."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class TaskState(StrEnum):
    """A task's or chunk's states."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


class PostingState(StrEnum):
    """How far one record got on its way into an external system."""

    INTENDED = "INTENDED"
    SENT = "SENT"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    IN_DOUBT = "IN_DOUBT"


class DeadLetterState(StrEnum):
    """What became of a record that was set aside."""

    OPEN = "OPEN"
    RETRIED = "RETRIED"
    """A later run takes it up again."""
    DISCARDED = "DISCARDED"
    SUPERSEDED = "SUPERSEDED"
    """The step was repeated, and this time the record went on."""


class ApprovalState(StrEnum):
    """Where a request for approval stands; what has ended stays as it ended."""

    REQUESTED = "REQUESTED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    """Nobody decided in time."""
    CANCELLED = "CANCELLED"
    """Its run ended or the records changed."""


class NotificationState(StrEnum):
    """Where a message to people stands."""

    PENDING = "PENDING"
    EXPANDED = "EXPANDED"
    """An announcement: each addressee has a notification now."""
    SENT = "SENT"
    FAILED = "FAILED"
    """Given up after its attempts; an operator may send it again."""
    DROPPED = "DROPPED"
    """Not sent, because there was nothing left to say."""


State = RunState | TaskState | PostingState | DeadLetterState | ApprovalState | NotificationState

RUN_TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    RunState.PENDING: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED}),
    RunState.RUNNING: frozenset(
        {RunState.SUSPENDED, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}
    ),
    RunState.SUSPENDED: frozenset({RunState.RUNNING, RunState.FAILED, RunState.CANCELLED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset({RunState.RUNNING}),
    RunState.CANCELLED: frozenset(),
}

TASK_TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.PENDING: frozenset({TaskState.RUNNING, TaskState.SKIPPED, TaskState.CANCELLED}),
    TaskState.RUNNING: frozenset(
        {TaskState.SUSPENDED, TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED}
    ),
    TaskState.SUSPENDED: frozenset({TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.SUCCEEDED: frozenset(),
    TaskState.FAILED: frozenset({TaskState.RUNNING, TaskState.PENDING}),
    TaskState.CANCELLED: frozenset(),
    TaskState.SKIPPED: frozenset(),
}

POSTING_TRANSITIONS: Mapping[PostingState, frozenset[PostingState]] = {
    PostingState.INTENDED: frozenset({PostingState.SENT}),
    PostingState.SENT: frozenset(
        {PostingState.INTENDED, PostingState.CONFIRMED, PostingState.REJECTED, PostingState.IN_DOUBT}
    ),
    PostingState.IN_DOUBT: frozenset({PostingState.SENT, PostingState.CONFIRMED, PostingState.REJECTED}),
    PostingState.REJECTED: frozenset({PostingState.INTENDED}),
    PostingState.CONFIRMED: frozenset(),
}

DEAD_LETTER_TRANSITIONS: Mapping[DeadLetterState, frozenset[DeadLetterState]] = {
    DeadLetterState.OPEN: frozenset(
        {DeadLetterState.RETRIED, DeadLetterState.DISCARDED, DeadLetterState.SUPERSEDED}
    ),
    DeadLetterState.RETRIED: frozenset({DeadLetterState.OPEN}),
    DeadLetterState.SUPERSEDED: frozenset({DeadLetterState.OPEN}),
    DeadLetterState.DISCARDED: frozenset(),
}

APPROVAL_TRANSITIONS: Mapping[ApprovalState, frozenset[ApprovalState]] = {
    ApprovalState.REQUESTED: frozenset(
        {ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.EXPIRED, ApprovalState.CANCELLED}
    ),
    ApprovalState.APPROVED: frozenset({ApprovalState.CANCELLED}),
    ApprovalState.REJECTED: frozenset(),
    ApprovalState.EXPIRED: frozenset(),
    ApprovalState.CANCELLED: frozenset(),
}

NOTIFICATION_TRANSITIONS: Mapping[NotificationState, frozenset[NotificationState]] = {
    NotificationState.PENDING: frozenset(
        {
            NotificationState.EXPANDED,
            NotificationState.SENT,
            NotificationState.FAILED,
            NotificationState.DROPPED,
        }
    ),
    NotificationState.EXPANDED: frozenset(),
    NotificationState.SENT: frozenset(),
    NotificationState.FAILED: frozenset({NotificationState.PENDING}),
    NotificationState.DROPPED: frozenset(),
}

TERMINAL_RUN_STATES = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
"""States in which a run waits for nothing."""

_TABLES: Mapping[type, Mapping[Any, frozenset[Any]]] = {
    RunState: RUN_TRANSITIONS,
    TaskState: TASK_TRANSITIONS,
    PostingState: POSTING_TRANSITIONS,
    DeadLetterState: DEAD_LETTER_TRANSITIONS,
    ApprovalState: APPROVAL_TRANSITIONS,
    NotificationState: NOTIFICATION_TRANSITIONS,
}


def successors[S: State](state: S) -> frozenset[S]:
    """The states that may follow."""
    return _TABLES[type(state)][state]


def predecessors[S: State](state: S) -> tuple[S, ...]:
    """The states that may come before, in table order: the guard of a compare-and-set update."""
    return tuple(before for before, after in _TABLES[type(state)].items() if state in after)


def check_transition[S: State](before: S, after: S) -> None:
    """Raise `Conflict` unless the table lets `after` follow `before`."""
    if after not in successors(before):
        allowed = ", ".join(sorted(map(str, successors(before)))) or "nothing, it is final"
        raise Conflict(f"{before} cannot become {after}; allowed: {allowed}.")
