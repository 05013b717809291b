"""Sweeps over runs: what was committed starts, what sleeps too long is woken, what was lost is recovered, and
what nobody waits for any more ends.

Events and orchestrations only wake; the run row says what should be. Every sweep may run on many instances at
once: each change is compare-and-set, and starting or waking twice does no harm.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from commands.deployment import Deployment
from commands.operating import Asked, operate
from commands.orchestrations import Liveness, Orchestrations, told
from kernel.errors import Lost
from kernel.people import SYSTEM
from kernel.traces import trace_of
from store import audit, executions, nested_waits, runs
from store.endings import end_run
from store.executions import OpenRun
from workflows.actions import Action
from workflows.states import RunState

logger = logging.getLogger(__name__)

SWEEPER = SYSTEM.id
PENDING_GRACE = timedelta(seconds=30)
NESTED_GRACE = timedelta(minutes=2)
"""How long a nested run is left to the orchestration of the run above it, which starts it."""
WAKE_GRACE = timedelta(minutes=1)
"""How late an execution may be after its wait before it is woken again."""
QUIET = timedelta(minutes=2)
"""After how long without a sign of life durable execution is asked about a running run."""
SUSPENDED_QUIET = timedelta(hours=1)
LIMIT = 100


@dataclass(frozen=True)
class Swept:
    """What a sweep did: how many runs were started, woken, recovered, failed or cancelled."""

    started: int = 0
    woken: int = 0
    recovered: int = 0
    failed: int = 0
    cancelled: int = 0


def sweep_runs(deployment: Deployment, orchestrations: Orchestrations) -> Swept:
    """All sweeps over runs, one after the other; one that fails does not keep the others from running."""
    started = _guarded(lambda: start_pending_runs(deployment, orchestrations))
    woken = _guarded(lambda: wake_sleeping_runs(deployment, orchestrations))
    told = _guarded(lambda: wake_waiting_parents(deployment, orchestrations))
    recovered, failed = _guarded(lambda: recover_lost_runs(deployment, orchestrations)) or (0, 0)
    cancelled = _guarded(lambda: cancel_abandoned_runs(deployment, orchestrations))
    swept = Swept(started or 0, (woken or 0) + (told or 0), recovered, failed, cancelled or 0)
    for name, amount in vars(swept).items():
        if amount:
            deployment.metrics.add("sweep.runs", amount, outcome=name)
    if swept != Swept():
        logger.info("swept runs", extra=vars(swept))
    return swept


def start_pending_runs(deployment: Deployment, orchestrations: Orchestrations, limit: int = LIMIT) -> int:
    """Start committed runs that are still PENDING after the grace period; returns how many were started."""
    now = deployment.clock()
    with deployment.database.reading() as connection:
        waiting = runs.pending_since(connection, now - PENDING_GRACE, now - NESTED_GRACE, limit)
    started = [run_id for run_id in waiting if told(run_id, lambda: orchestrations.start(run_id))]  # noqa: B023
    _note(deployment, "run.started_by_sweep", started)
    return len(started)


def wake_sleeping_runs(deployment: Deployment, orchestrations: Orchestrations, limit: int = LIMIT) -> int:
    """Send wake-ups again to runs whose wait should be over: an event may have been lost."""
    now = deployment.clock()
    with deployment.database.reading() as connection:
        late = executions.asleep(connection, now - WAKE_GRACE, now, limit)
    for run in late:
        if run.state is RunState.SUSPENDED:  # past its deadline: the execution ends it
            with deployment.database.transaction(SWEEPER) as connection:
                executions.rouse(connection, run.id, now)
    woken = [run.id for run in late if told(run.id, lambda: orchestrations.wake(run.id, run.execution))]  # noqa: B023
    _note(deployment, "run.woken_by_sweep", woken)
    return len(woken)


def wake_waiting_parents(deployment: Deployment, orchestrations: Orchestrations, limit: int = LIMIT) -> int:
    """Wake runs that wait although their nested run has ended: whoever was to tell them was lost."""
    now = deployment.clock()
    with deployment.database.reading() as connection:
        waiting = nested_waits.waiting_in_vain(connection, now, limit)
    if waiting:
        with deployment.database.transaction(SWEEPER) as connection:
            nested_waits.make_due(connection, [run_id for run_id, _ in waiting], now)
    woken = [run_id for run_id, last in waiting if told(run_id, partial(orchestrations.wake, run_id, last))]
    _note(deployment, "run.woken_by_sweep", woken)
    return len(woken)


def cancel_abandoned_runs(deployment: Deployment, orchestrations: Orchestrations, limit: int = LIMIT) -> int:
    """Cancel nested runs whose run above has ended without them: it was past its timeout, or given up."""
    with deployment.database.reading() as connection:
        left = nested_waits.abandoned(connection, deployment.clock(), limit)
    asked = [Asked(Action.CANCEL, run_id, "The run above it has ended.", SYSTEM) for run_id in left]
    return sum(told(one.run_id, partial(operate, deployment, one, orchestrations)) for one in asked)


def recover_lost_runs(
    deployment: Deployment, orchestrations: Orchestrations, limit: int = LIMIT
) -> tuple[int, int]:
    """Give runs whose execution is lost, over or silent a new one from their last completed segment, or fail
    them when that has been done too often without progress. Returns how many were recovered and failed."""
    now = deployment.clock()
    with deployment.database.reading() as connection:
        quiet = executions.quiet_runs(connection, now - QUIET, now - SUSPENDED_QUIET, limit)
    recovered = failed = 0
    for run in quiet:
        found = _guarded(lambda: orchestrations.liveness(run.id, run.execution))  # noqa: B023
        if found is None:
            continue
        if found is Liveness.ALIVE and not _silent(deployment, run, now):
            _touch(deployment, run, now)
        elif run.recoveries >= deployment.recovery.max_recoveries:
            failed += _give_up(deployment, orchestrations, run, found)
        else:
            recovered += _recover(deployment, orchestrations, run, found)
    return recovered, failed


def _silent(deployment: Deployment, run: OpenRun, now: datetime) -> bool:
    """Durable execution says that it goes on, but nothing has come of it for longer than anything may take.
    A suspended run is silent by right, and one for which chunks or nested runs work lets them speak."""
    signs = [sign for sign in (run.heartbeat_at, run.wake_at) if sign is not None]
    silent_for = now - max(signs) if signs else timedelta.max
    if run.state is not RunState.RUNNING or silent_for <= deployment.recovery.silent_after:
        return False
    with deployment.database.reading() as connection:
        since = now - deployment.recovery.silent_after
        return not nested_waits.others_work_for(connection, run.id, since)


def _touch(deployment: Deployment, run: OpenRun, now: datetime) -> None:
    """A suspended run was looked at; a running one keeps its last sign of life, silence is measured by it."""
    if run.state is RunState.SUSPENDED:
        with deployment.database.transaction(SWEEPER) as connection:
            executions.touch(connection, run.id, run.execution, now)


def _recover(deployment: Deployment, orchestrations: Orchestrations, run: OpenRun, found: Liveness) -> int:
    now = deployment.clock()
    with deployment.database.transaction(SWEEPER) as connection:
        taken = executions.recover(connection, run, now)
        if taken:
            audit.record(
                connection, stream=audit.run_stream(run.id), actor=SWEEPER, action="run.recovered",
                subject=str(run.id), now=now,
                details={"execution": run.execution + 1, "segment": run.segment, "found": found},
            )  # fmt: skip
    if taken:
        if found is Liveness.ALIVE:
            told(run.id, lambda: orchestrations.stop(run.id, run.execution))
        told(run.id, lambda: orchestrations.start(run.id, run.execution + 1, run.segment))
    return int(taken)


def _give_up(deployment: Deployment, orchestrations: Orchestrations, run: OpenRun, found: Liveness) -> int:
    error = Lost(
        f"The run's execution was lost {run.recoveries + 1} times without any progress between. Nothing that "
        "was posted is lost. Look at the health of durable storage, then retry the run."
    )
    failure: dict[str, Any] = {"step": None, "code": error.code, "message": error.message, "faults": []}
    now = deployment.clock()
    with deployment.database.transaction(SWEEPER) as connection:
        ended = end_run(
            connection, run.id, run.execution, RunState.FAILED, SWEEPER, now, failure=failure, details=found
        )
    if ended and found is Liveness.ALIVE:
        told(run.id, lambda: orchestrations.stop(run.id, run.execution))
    return int(ended)


def _note(deployment: Deployment, action: str, run_ids: Iterable[UUID]) -> None:
    for run_id in run_ids:
        with deployment.database.transaction(SWEEPER) as connection:
            audit.record(
                connection, stream=audit.run_stream(run_id), actor=SWEEPER, action=action,
                subject=str(run_id), details={}, now=deployment.clock(),
            )  # fmt: skip


def _guarded[T](call: Callable[[], T]) -> T | None:
    try:
        return call()
    except Exception as exc:  # noqa: BLE001 - one sweep must not stop another
        logger.error("sweep: %s", trace_of(exc))
        return None
