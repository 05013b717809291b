"""Runs of other workflows on behalf of a step or a chunk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from activities.interruption import check_going
from activities.restoring import restored
from activities.services import ENGINE
from activities.work import Work
from kernel.errors import ChildFailed, InvalidData
from kernel.ids import new_id
from store import audit, nesting, runs
from store.retrying import retry_run
from store.runs import RunRow
from store.workflows import Version, numbered_version, version_by_id
from workflows.inputs import child_inputs
from workflows.model import Dispatch, NestedRun, Workflow
from workflows.nesting import MAX_LEVELS
from workflows.states import TERMINAL_RUN_STATES, RunState


@dataclass(frozen=True)
class Child:
    """The nested run of a step or chunk, and whether it is new or begins again: then it is to be started."""

    run: RunRow
    starts: bool


def child_for(work: Work, part: NestedRun | Dispatch, begun_at: Any) -> Child:
    """The nested run, made if there is none. One that failed or was cancelled before the step began this time
    is retried, or followed by another one."""
    with work.services.database.transaction(ENGINE) as connection:
        check_going(connection, work, alone=work.chunk is None)
        found = nesting.latest_child(connection, work.run.id, work.step.key, work.chunk_id)
        over = found is not None and found.finished_at is not None and found.finished_at < begun_at
        if found is not None and over and found.state is RunState.FAILED:
            return Child(_retried(connection, work, found), True)
        if found is not None and not (over and found.state is RunState.CANCELLED):
            return Child(found, found.state is RunState.PENDING)
        return Child(_made(connection, work, part), True)


def outcome_of(work: Work, child: RunRow) -> dict[str, Any]:
    """What expressions may read of a nested run that has ended: its state, and what its steps measured."""
    with work.services.database.reading() as connection:
        tasks = {task.step_key: task for task in runs.get_tasks(connection, child.id)}
    outputs = restored({}, tasks, tasks)
    return {"state": str(child.state), **{key: output.measures for key, output in outputs.items()}}


def check_ended_well(work: Work, child: RunRow) -> None:
    """Raise `ChildFailed` unless the nested run SUCCEEDED."""
    if child.state is RunState.SUCCEEDED:
        return
    why = (child.failure or {}).get("message", "")
    raise ChildFailed(
        f"The run {child.id} of {child.workflow!r}, which {work.step.key!r} started, is {child.state}. {why}"
        " Repair it there, or retry this run."
    )


def has_ended(child: RunRow) -> bool:
    """Whether the nested run waits for nothing."""
    return child.state in TERMINAL_RUN_STATES


def _retried(connection: Connection, work: Work, child: RunRow) -> RunRow:
    retry_run(connection, child, work.services.clock())
    _record(connection, work, "run.retried", child.id, {"parent": str(work.run.id)})
    return runs.get_run(connection, child.id)


def _made(connection: Connection, work: Work, part: NestedRun | Dispatch) -> RunRow:
    if work.run.depth + 1 >= MAX_LEVELS:
        raise InvalidData(f"Runs are nested more than {MAX_LEVELS} levels deep; a workflow starts itself.")
    assert part.workflow is not None
    version = _version(connection, work, part, part.workflow)
    workflow = Workflow.model_validate(version.definition)
    run_id, parent, now = new_id(), work.run, work.services.clock()
    values = {
        "id": run_id, "workflow": part.workflow, "version_id": version.id,
        "environment": parent.environment,
        "inputs": child_inputs(workflow, part.inputs, work.values()),
        "requested_by": parent.requested_by, "reason": f"Started by {parent.workflow}, step {work.step.key}",
        "created_at": now, "parent_run_id": parent.id, "parent_step": work.step.key,
        "parent_chunk_id": work.chunk_id, "root_run_id": parent.root_run_id or parent.id,
        "depth": parent.depth + 1,
        "detached": isinstance(part, NestedRun) and part.when_cancelled == "leave",
    }  # fmt: skip
    runs.insert_run(connection, values, [(step.key, step.kind) for step in workflow.steps])
    details = {"workflow": part.workflow, "version": version.number, "parent": str(parent.id)}
    _record(connection, work, "run.started", run_id, details)
    return runs.get_run(connection, run_id)


def _version(connection: Connection, work: Work, part: NestedRun | Dispatch, key: str) -> Version:
    plan = version_by_id(connection, work.run.version_id).plan
    number = plan.get("pinned", {}).get(work.step.key) if part.version == "pinned" else None
    found = numbered_version(connection, key, number)
    if found is None:
        raise InvalidData(f"There is no workflow {key!r} any more; publish it, then retry the run.")
    return found


def _record(
    connection: Connection, work: Work, action: str, subject: UUID, details: Mapping[str, Any]
) -> None:
    audit.record(
        connection, stream=audit.run_stream(subject), actor=ENGINE, action=action, subject=str(subject),
        details=details, now=work.services.clock(),
    )  # fmt: skip
