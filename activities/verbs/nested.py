"""RUN: another workflow, whose run this one waits for."""

from activities.contract import Next, Outcome
from activities.nesting import check_ended_well, child_for, has_ended, outcome_of
from activities.work import Result, Work
from store.runs import get_task
from workflows.context import StepOutput
from workflows.model import NestedRun

LOOKED_AFTER_SECONDS = 600.0
"""How often a run looks after a nested run whose end it was not told."""


def run_nested(work: Work, part: NestedRun) -> Result:
    """Start the nested run, or say what has become of it.

    Raises `ChildFailed` when it did not end well and the definition does not say to go on.
    """
    with work.services.database.reading() as connection:
        task = get_task(connection, work.run.id, work.step.key)
    child = child_for(work, part, task.started_at or work.services.clock())
    if child.starts:
        run = child.run
        return Result(meanwhile=Outcome(Next.NESTED, child=str(run.id), child_execution=run.execution))
    if not has_ended(child.run):
        return Result(meanwhile=Outcome(Next.RETRY, wait_seconds=LOOKED_AFTER_SECONDS))
    if part.on_failure == "fail":
        check_ended_well(work, child.run)
    values = outcome_of(work, child.run)
    return Result(StepOutput(values), {}, values)
