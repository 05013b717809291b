"""How a run ends or stops: totals proved, failed, cancelled or paused."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from activities.contract import Next, Outcome
from activities.dead_letters import SHOWN_FAULTS
from activities.notes import Notes
from activities.services import ENGINE, Services
from activities.totals import NO_CHUNKS, ChunkTotals, prove_totals
from kernel.errors import SluiceError, TotalsNotProved
from store import audit, chunk_totals, postings, runs
from store.endings import end_run
from store.runs import RunRow, Signal
from workflows.model import Workflow
from workflows.states import TERMINAL_RUN_STATES, RunState, TaskState

type _Settle = Callable[[Connection], tuple[RunState, dict[str, Any]]]
"""Says how a run ends: its state, and failure or totals."""


def finish_run(services: Services, run: RunRow, workflow: Workflow, segment: int, notes: Notes) -> Outcome:
    """Write down what is known, skip what was not run, prove the totals, and end SUCCEEDED; or FAILED when
    they do not balance."""

    def settle(connection: Connection) -> tuple[RunState, dict[str, Any]]:
        signal = runs.signal(connection, run.id, run.execution, services.clock(), alone=True)
        if signal is not Signal.OVERTAKEN:
            notes.write(connection)
            runs.finish_tasks(connection, run.id, TaskState.SKIPPED, services.clock())
        tasks = runs.get_tasks(connection, run.id)
        confirmed = postings.confirmed_by_step(connection, run.id)
        try:
            proved = prove_totals(workflow, tasks, confirmed, _chunk_totals(connection, run.id, workflow))
            totals = [line.to_dict() for line in proved]
        except TotalsNotProved as exc:
            return RunState.FAILED, {"failure": failure_of(None, exc)}
        return RunState.SUCCEEDED, {"totals": totals}

    return _end(services, run, segment, settle)


def _chunk_totals(connection: Connection, run_id: UUID, workflow: Workflow) -> ChunkTotals:
    writes = [(step.key, inner) for step in workflow.steps if step.dispatch for inner in step.dispatch.steps]
    found = {
        inner.key: chunk_totals.written(connection, run_id, dispatch, inner.push.records, inner.key)
        for dispatch, inner in writes
        if inner.push
    }
    return ChunkTotals(found, chunk_totals.posted(connection, run_id)) if found else NO_CHUNKS


def fail_run(
    services: Services, run: RunRow, step_key: str | None, error: SluiceError, segment: int
) -> Outcome:
    """End the run FAILED at a step (if it was one), with its redacted error."""
    failure = failure_of(step_key, error)
    return _end(services, run, segment, lambda _connection: (RunState.FAILED, {"failure": failure}))


def cancel_run(services: Services, run: RunRow, segment: int) -> Outcome:
    """End the run CANCELLED, as an operator has asked. What was not sent is held."""
    return _end(services, run, segment, lambda _connection: (RunState.CANCELLED, {}))


def suspend_run(services: Services, run: RunRow, segment: int) -> Outcome:
    """Pause the run, as an operator has asked, until someone resumes it."""
    now = services.clock()
    with services.database.transaction(ENGINE) as connection:
        moved = runs.move_run(
            connection, run.id, RunState.SUSPENDED, execution=run.execution, requested_was="pause",
            requested=None, wake_at=None, starts=0, heartbeat_at=now,
        )  # fmt: skip
        if moved:
            runs.suspend_tasks(connection, run.id)
            audit.record(
                connection, stream=audit.run_stream(run.id), actor=ENGINE, action="run.suspended",
                subject=str(run.id), details={"segment": segment}, now=now,
            )  # fmt: skip
    return Outcome(Next.SUSPENDED if moved else Next.CONTINUE, segment)


def failure_of(step_key: str | None, error: SluiceError) -> dict[str, Any]:
    """The error as people and programs read it on the run."""
    faults = [fault.to_dict() for fault in error.faults[:SHOWN_FAULTS]]
    return {"step": step_key, "code": error.code, "message": error.message, "faults": faults}


def _end(services: Services, run: RunRow, segment: int, settle: _Settle) -> Outcome:
    """End the run as `settle` says, in one transaction with what it finds."""
    with services.database.transaction(ENGINE, swift=True) as connection:
        state, values = settle(connection)
        had_context = runs.context_key(connection, run.id) is not None
        if not end_run(connection, run.id, run.execution, state, ENGINE, services.clock(), **values):
            state = runs.get_run(connection, run.id).state
    if had_context and state in TERMINAL_RUN_STATES:
        services.contexts.destroy(run.id, run.execution)
    return Outcome(Next.ENDED, segment, state=state)
