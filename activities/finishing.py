"""How a run ends: totals proved or failed, context key destroyed, audit written."""

from typing import Any
from uuid import UUID

from activities.contract import Next, Outcome
from activities.dead_letters import SHOWN_FAULTS
from activities.services import ENGINE, Services
from activities.totals import prove_totals
from kernel.errors import SluiceError, TotalsNotProved
from store import audit, postings, runs
from workflows.model import Workflow
from workflows.states import RunState, TaskState


def finish_run(services: Services, run_id: UUID, workflow: Workflow, segment: int) -> Outcome:
    """Skip what was not run, prove the totals, and end SUCCEEDED; or FAILED when they do not balance."""
    now = services.clock()
    with services.database.transaction(ENGINE) as connection:
        if runs.hold_running(connection, run_id):
            runs.finish_tasks(connection, run_id, TaskState.SKIPPED, now)
        tasks = runs.get_tasks(connection, run_id)
        confirmed = postings.confirmed_by_step(connection, run_id)
    try:
        totals = [line.to_dict() for line in prove_totals(workflow, tasks, confirmed)]
    except TotalsNotProved as exc:
        return _end(services, run_id, RunState.FAILED, segment, failure=failure_of(None, exc))
    return _end(services, run_id, RunState.SUCCEEDED, segment, totals=totals)


def fail_run(
    services: Services, run_id: UUID, step_key: str | None, error: SluiceError, segment: int
) -> Outcome:
    """End the run FAILED at a step (if it was one), with its redacted error."""
    return _end(services, run_id, RunState.FAILED, segment, failure=failure_of(step_key, error))


def failure_of(step_key: str | None, error: SluiceError) -> dict[str, Any]:
    """The error as people and programs read it on the run."""
    faults = [fault.to_dict() for fault in error.faults[:SHOWN_FAULTS]]
    return {"step": step_key, "code": error.code, "message": error.message, "faults": faults}


def _end(services: Services, run_id: UUID, state: RunState, segment: int, **values: Any) -> Outcome:
    now = services.clock()
    with services.database.transaction(ENGINE) as connection:
        moved = runs.move_run(connection, run_id, state, finished_at=now, context_key=None, **values)
        if moved:
            # What had begun ends with the run: no task of a run that has ended says that it runs.
            runs.finish_tasks(connection, run_id, TaskState.FAILED, now, failure=values.get("failure"))
            code = (values.get("failure") or {}).get("code", "")
            audit.record(
                connection, stream="runs", actor=ENGINE, action=f"run.{state.lower()}", subject=str(run_id),
                details={"code": code} if code else {}, now=now,
            )  # fmt: skip
        else:
            state = runs.get_run(connection, run_id).state
    services.contexts.destroy(run_id)
    return Outcome(Next.ENDED, segment, state=state)
