"""What a forecast needs to know of a run, as it is at one moment."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, func, select

from store.approvals import count_latest
from store.chunk_standing import ChunkStanding, chunk_standing
from store.chunks import count_chunks
from store.nested_runs import OpenBelow, count_open_below
from store.runs import RunRow, TaskRow, get_run, get_tasks
from store.tables import dead_letter, posting
from store.workflows import Version, version_by_id
from workflows.model import Workflow
from workflows.states import ApprovalState, PostingState, TaskState


@dataclass(frozen=True)
class Known:
    """A run with its version, its tasks, and by step key: how many of its postings are in which state, and
    how many of its dead letters another run has taken up; for dispatches, how many chunks are in which state;
    for writes inside, how their records stand; how many open runs are below it; and how many of its latest
    requests for approval are in which state."""

    run: RunRow
    version: Version
    workflow: Workflow
    tasks: list[TaskRow]
    postings: Mapping[str, Counter[PostingState]]
    repaired: Mapping[str, int]
    chunks: Mapping[str, Counter[TaskState]]
    written: Mapping[str, Mapping[TaskState, ChunkStanding]]
    below: OpenBelow
    approvals: Counter[ApprovalState]


def known_of(connection: Connection, run_id: UUID) -> Known:
    """All of it; counts fit together when the transaction is frozen. `NotFound` when there is no such run."""
    run = get_run(connection, run_id)
    version, tasks = version_by_id(connection, run.version_id), get_tasks(connection, run_id)
    workflow = Workflow.model_validate(version.definition)
    return Known(
        run, version, workflow, tasks, _postings(connection, run_id), _repaired(connection, run_id),
        _chunks(connection, tasks), _written(connection, workflow, tasks),
        count_open_below(connection, run_id), count_latest(connection, run_id),
    )  # fmt: skip


def _dispatched(tasks: Sequence[TaskRow]) -> list[TaskRow]:
    return [task for task in tasks if task.verb == "dispatch" and task.state is not TaskState.PENDING]


def _chunks(connection: Connection, tasks: Sequence[TaskRow]) -> dict[str, Counter[TaskState]]:
    return {
        task.step_key: count_chunks(connection, task.run_id, task.step_key) for task in _dispatched(tasks)
    }


def _written(
    connection: Connection, workflow: Workflow, tasks: Sequence[TaskRow]
) -> dict[str, Mapping[TaskState, ChunkStanding]]:
    return {
        inner.key: chunk_standing(connection, task.run_id, task.step_key, inner.key)
        for task in _dispatched(tasks)
        if (part := workflow.step(task.step_key).dispatch) is not None
        for inner in part.steps
        if inner.push is not None
    }


def _postings(connection: Connection, run_id: UUID) -> dict[str, Counter[PostingState]]:
    columns = (posting.c.step_key, posting.c.state)
    query = select(*columns, func.count()).where(posting.c.run_id == run_id).group_by(*columns)
    found: dict[str, Counter[PostingState]] = {}
    for step_key, state, count in connection.execute(query):
        found.setdefault(step_key, Counter())[PostingState(state)] = count
    return found


def _repaired(connection: Connection, run_id: UUID) -> dict[str, int]:
    taken = (dead_letter.c.run_id == run_id) & dead_letter.c.retry_run.is_not(None)
    query = select(dead_letter.c.step_key, func.count()).where(taken).group_by(dead_letter.c.step_key)
    return {step_key: count for step_key, count in connection.execute(query)}  # noqa: C416 - typed rows
