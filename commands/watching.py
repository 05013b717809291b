"""Watch a run: what has happened to it and to its steps, how far its dispatches are, and when it has ended.

All of it is read from PostgreSQL. Who watches says what they have seen; nothing is remembered for them here.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from commands.deployment import Deployment
from kernel.errors import InvalidRequest
from store.feed import Change, changes_after, count_letters
from store.nested_runs import NestedRun, nested_runs
from store.progress import Progress, progress_of
from store.runs import RunRow, TaskRow, get_run, get_tasks
from workflows.states import TERMINAL_RUN_STATES, DeadLetterState, TaskState

MAX_WAIT = timedelta(seconds=20)
LOOK_EVERY = 0.5
"""Seconds between two looks while somebody waits."""
TOLD_EVERY = timedelta(seconds=1)
"""How often progress is told at most."""
MOST = 500
"""Changes of states that are told at once."""
SHOWN_CHILDREN = 100


class EventType(StrEnum):
    """What an event tells."""

    RUN = "run"
    """The run has another state."""
    STEP = "step"
    """A step of the run has another state."""
    PROGRESS = "progress"
    """How far a dispatch is."""
    DEAD_LETTERS = "dead_letters"
    """How many records the steps have set aside."""
    CHILDREN = "children"
    """The runs that steps have started, with their states."""
    FINAL = "final"
    """The run has ended, and all of it has been told."""


@dataclass(frozen=True)
class Letters:
    """How many records a step has set aside, and how many of them wait for someone."""

    kept: int
    open: int


@dataclass(frozen=True)
class Event:
    """One thing to tell; what does not belong to its type is empty."""

    type: EventType
    at: datetime
    step: str | None = None
    before: str | None = None
    state: str | None = None
    actor: str | None = None
    progress: Progress | None = None
    dead_letters: Mapping[str, Letters] | None = None
    children: Sequence[NestedRun] | None = None


@dataclass(frozen=True)
class Seen:
    """What someone has been told of a run: the number of the last change of the run and of each step, a
    digest of each count, and when counts were told last."""

    run_id: UUID
    numbers: tuple[int, ...] = ()
    counts: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True)
class Told:
    """What there is to tell, and what has been seen then. `crowded`: there was no place to wait in."""

    events: Sequence[Event]
    seen: Seen
    crowded: bool = False


def watch(deployment: Deployment, seen: Seen, wait: timedelta) -> Told:
    """What has happened since, at once if there is something, otherwise after waiting for it.

    Raises `NotFound` when there is no such run, and `InvalidRequest` when `seen` is of another one.
    """
    told = _look(deployment, seen)
    if told.events or not wait:
        return told
    deadline = time.monotonic() + min(wait, MAX_WAIT).total_seconds()
    with deployment.audience.place() as taken:
        if not taken:
            return Told(told.events, told.seen, crowded=True)
        while not told.events and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(LOOK_EVERY, left))
            told = _look(deployment, seen)
    return told


def _look(deployment: Deployment, seen: Seen) -> Told:
    now = deployment.clock()
    with deployment.database.reading(frozen=True) as connection:
        run, tasks = get_run(connection, seen.run_id), get_tasks(connection, seen.run_id)
        numbers = _numbers(seen, tasks)
        changes = changes_after(connection, [run.id, *(task.id for task in tasks)], numbers, MOST)
        ended = run.state in TERMINAL_RUN_STATES and len(changes) < MOST
        summary = None
        if ended or _is_due(seen, now):
            summary = deployment.audience.counted(
                run.id, lambda: _summary(connection, run, tasks, now), fresh=ended
            )
    for change in changes:
        numbers[change.place] = change.number
    events = [_changed(change, tasks) for change in changes]
    counts = dict(seen.counts)
    news = [] if summary is None else list(_news(summary, counts))
    at = now if news else seen.at
    if ended:
        news.append(Event(EventType.FINAL, run.finished_at or now, state=run.state))
    return Told([*events, *news], Seen(run.id, tuple(numbers), counts, at))


def _numbers(seen: Seen, tasks: Sequence[TaskRow]) -> list[int]:
    numbers = list(seen.numbers) or [0] * (len(tasks) + 1)
    if len(numbers) != len(tasks) + 1:
        raise InvalidRequest("`after` is of another run; start again without it.")
    return numbers


def _is_due(seen: Seen, now: datetime) -> bool:
    return seen.at is None or abs(now - seen.at) >= TOLD_EVERY  # a clock may have run back


def _changed(change: Change, tasks: Sequence[TaskRow]) -> Event:
    kind, step = EventType.RUN, None
    if change.place:
        kind, step = EventType.STEP, tasks[change.place - 1].step_key
    return Event(kind, change.at, step, change.before, change.after, change.actor)


@dataclass(frozen=True)
class _Summary:
    """Counts of a run at one moment."""

    at: datetime
    progress: Mapping[str, Progress]
    letters: Mapping[str, Letters]
    children: Sequence[NestedRun]


def _summary(connection: Connection, run: RunRow, tasks: Sequence[TaskRow], now: datetime) -> _Summary:
    begun = [task for task in tasks if task.verb == "dispatch" and task.state is not TaskState.PENDING]
    letters = count_letters(connection, run.id)
    nesting = [task.step_key for task in tasks if task.verb == "run"]
    return _Summary(
        now,
        {task.step_key: progress_of(connection, run, task, now) for task in begun},
        {step: _letters(states) for step, states in sorted(letters.items())},
        nested_runs(connection, run.id, nesting, SHOWN_CHILDREN),
    )


def _letters(states: Counter[DeadLetterState]) -> Letters:
    return Letters(states.total() - states[DeadLetterState.SUPERSEDED], states[DeadLetterState.OPEN])


def _news(summary: _Summary, told: dict[str, str]) -> Iterator[Event]:
    """What differs from what was told; that is brought up to date. A rate that changes is no news."""
    for step, progress in summary.progress.items():
        if _is_new(told, f"{EventType.PROGRESS}:{step}", vars(progress) | {"rate": None, "eta": None}):
            yield Event(EventType.PROGRESS, summary.at, step, progress=progress)
    if summary.letters and _is_new(told, EventType.DEAD_LETTERS, summary.letters):
        yield Event(EventType.DEAD_LETTERS, summary.at, dead_letters=summary.letters)
    if summary.children and _is_new(told, EventType.CHILDREN, summary.children):
        yield Event(EventType.CHILDREN, summary.at, children=summary.children)


def _is_new(told: dict[str, str], name: str, found: Any) -> bool:
    digest = hashlib.sha256(repr(found).encode()).hexdigest()[:10]
    before, told[name] = told.get(name), digest
    return before != digest
