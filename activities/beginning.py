"""How a segment begins: whether this execution may work on the run at all, and what it works with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from activities.contract import Next, Outcome, SegmentInput
from activities.finishing import fail_run
from activities.services import ENGINE, Services
from activities.waiting import still_waiting, waiting_outcome, waits_for_people
from kernel.durations import parse_duration
from kernel.errors import Poison
from kernel.verbs import Verb
from store import executions, runs
from store.definitions import Definition
from store.operating import lock_run
from store.runs import RunRow, TaskRow, task_begun
from workflows.model import Workflow
from workflows.planning import Plan
from workflows.states import TERMINAL_RUN_STATES, RunState, TaskState, predecessors

_STARTABLE = predecessors(TaskState.RUNNING)


@dataclass(frozen=True)
class Begun:
    """A segment that may run: the run with its definition, its plan, and its tasks by step key."""

    run: RunRow
    workflow: Workflow
    plan: Plan
    tasks: Mapping[str, TaskRow]


def begin(services: Services, given: SegmentInput) -> Begun | Outcome:
    """Take up a segment, or say at once what to do instead.

    An execution that was overtaken, woken too early or asked to wait on changes nothing. A segment that began
    too often without getting anything done has killed its worker each time: the run fails as poison.
    """
    run_id, now = UUID(given.run_id), services.clock()
    with services.database.transaction(ENGINE, swift=True) as connection:
        run = runs.get_run(connection, run_id)
        instead = instead_of(run, given, now)
        if waits_for_people(run) and run.execution == given.execution:
            run = lock_run(connection, run_id)
            waiting = still_waiting(connection, run, now)
            instead = waiting_outcome(waiting, given.segment, now) if waiting else None
            run = run if waiting else runs.get_run(connection, run_id)
        if instead is None:
            begun = _take_up(services, connection, run, given.segment, now)
            starts = executions.begin_segment(connection, run_id, run.execution, now)
    if instead is not None:
        if run.state in TERMINAL_RUN_STATES:
            services.contexts.destroy(run_id, run.execution)  # what ended it may have died before
        return instead
    if starts > services.max_recoveries + 1:
        return fail_run(services, begun.run, None, _poison(begun, given.segment, starts - 1), given.segment)
    return begun


def instead_of(run: RunRow, given: SegmentInput, now: datetime) -> Outcome | None:
    """What to do instead of running a segment; `None` when it may run."""
    if run.state in TERMINAL_RUN_STATES or run.execution != given.execution:
        return Outcome(Next.ENDED, given.segment, state=run.state)
    if run.state is RunState.SUSPENDED:
        return Outcome(Next.SUSPENDED, given.segment)
    if run.wake_at and _waits(run, now) and not run.requested and not _overdue(run, now):
        return Outcome(Next.RETRY, given.segment, wait_seconds=_until(run.wake_at, now))
    return None


def _waits(run: RunRow, now: datetime) -> bool:
    """Whether the run's wait is not over. If the clock has run back behind the begin of the wait, it no
    longer tells; the durable timer did."""
    ran_back = run.heartbeat_at is not None and now < run.heartbeat_at
    return run.wake_at is not None and now < run.wake_at and not ran_back


def _overdue(run: RunRow, now: datetime) -> bool:
    return run.deadline_at is not None and now >= run.deadline_at


def _until(moment: datetime, now: datetime) -> float:
    return max(0.001, (moment - now).total_seconds())


def _take_up(services: Services, connection: Connection, run: RunRow, segment: int, now: datetime) -> Begun:
    known = services.definitions.of(connection, run.version_id)
    if run.state is RunState.PENDING:
        values: dict[str, Any] = {"started_at": now}
        if known.workflow.timeout:
            values["deadline_at"] = now + parse_duration(known.workflow.timeout)
        if runs.move_run(connection, run.id, RunState.RUNNING, **values):
            run = replace(run, state=RunState.RUNNING, **values)
        else:
            run = runs.get_run(connection, run.id)
    tasks = {task.step_key: task for task in runs.get_tasks(connection, run.id)}
    if not run.requested and not _overdue(run, now):
        _begin_first_step(connection, known, tasks, segment, now)
    return Begun(run, known.workflow, known.plan, tasks)


def _begin_first_step(
    connection: Connection, known: Definition, tasks: dict[str, TaskRow], segment: int, now: datetime
) -> None:
    """A read at the beginning of a segment begins with it: that saves a commit."""
    key = known.plan.segments[segment].steps[0]
    task = tasks[key]
    if known.workflow.step(key).kind in (Verb.FETCH, Verb.LOOKUP) and task.state in _STARTABLE:
        runs.begin_task(connection, task.run_id, key, now)
        tasks[key] = task_begun(task, now)


def _poison(begun: Begun, segment: int, deaths: int) -> Poison:
    steps = ", ".join(map(repr, begun.plan.segments[segment].steps))
    return Poison(
        f"The worker died {deaths} times in a row while it ran {steps}, without getting anything done. Look "
        "at memory and time limits and at the size of what the steps read, then retry the run."
    )
