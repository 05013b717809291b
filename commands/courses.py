"""How a run goes on after an operator's action: what that means for each of its steps and chunks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from store.runs import RunRow
from workflows.actions import Action, Effect
from workflows.states import TaskState


@dataclass(frozen=True)
class Course:
    """How a run goes on: `will` by the state of a task, and what that means for a write."""

    opening: str
    will: Mapping[TaskState, str]
    goes_on: bool = True
    repeats_all: bool = False
    """All segments, not only the one where the run is."""
    tries_rejected: bool = False
    pauses: bool = False
    anew: bool = False
    """In a new run: nothing of the old one stands but what is posted."""


_GOING = MappingProxyType(
    {
        TaskState.PENDING: "runs",
        TaskState.RUNNING: "goes_on",
        TaskState.SUSPENDED: "goes_on",
        TaskState.FAILED: "goes_on",
        TaskState.SUCCEEDED: "repeats",
        TaskState.SKIPPED: "skipped",
    }
)
_ENDING = MappingProxyType(
    {
        TaskState.PENDING: "ends",
        TaskState.RUNNING: "ends",
        TaskState.SUSPENDED: "ends",
        TaskState.FAILED: "ends",
        TaskState.SUCCEEDED: "stands",
        TaskState.SKIPPED: "skipped",
    }
)
_WAITING = MappingProxyType(
    {**_ENDING, TaskState.PENDING: "waits", TaskState.RUNNING: "waits", TaskState.FAILED: "waits"}
)

RETRY = Course("The run begins again at its first step", _GOING, repeats_all=True, tries_rejected=True)
REPLAY = Course(
    "A new run of the same version and inputs begins", dict.fromkeys(TaskState, "runs"),
    repeats_all=True, tries_rejected=True, anew=True,
)  # fmt: skip
RESUME = Course("The run goes on where it is", _GOING)
KEEP = Course("The run waits until somebody resumes it", _WAITING, goes_on=False, pauses=True)
PAUSE = Course("The run stops before its next effect and waits", _WAITING, goes_on=False, pauses=True)
CANCEL = Course("The run stops before its next effect and ends CANCELLED", _ENDING, goes_on=False)
OVERDUE = Course("The run is past its timeout and ends FAILED", _ENDING, goes_on=False)

_COURSES: Mapping[Effect, Course] = MappingProxyType(
    {
        Effect.END: CANCEL,
        Effect.ROUSE_AND_ASK: CANCEL,
        Effect.ROUSE: RESUME,
        Effect.WITHDRAW: RESUME,
        Effect.KEEP: KEEP,
        Effect.BEGIN_AGAIN: RETRY,
        Effect.COPY: REPLAY,
    }
)


def course_of(action: Action, effect: Effect, run: RunRow, now: datetime) -> Course:
    """How the run goes on after this action, which comes to this effect."""
    if effect is Effect.ASK:
        return PAUSE if action is Action.PAUSE else CANCEL
    course = _COURSES[effect]
    overdue = run.deadline_at is not None and now >= run.deadline_at
    return OVERDUE if course is RESUME and overdue else course
