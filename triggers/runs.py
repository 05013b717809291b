"""Endpoints for runs."""

import base64
import binascii
from datetime import datetime
from uuid import UUID

from commands.runs import start_run
from kernel.errors import InvalidRequest
from store.approvals import open_of_run
from store.dead_letters import list_for_run
from store.nested_runs import nested_runs
from store.progress import progress_of
from store.runs import RunFilter, RunRow, get_run, get_tasks, list_runs
from triggers.filters import PAGING, id_of, state_of
from triggers.http import Answer, Endpoint, Request
from triggers.views import DeadLetterView, Page, RunDetailView, RunView, StartRun
from workflows.states import RunState, TaskState

SHOWN_CHILDREN = 100
_FOREIGN_CURSOR = "The cursor is not one of ours; start again without it."


def start(request: Request) -> Answer:
    """Start a run; the same `Idempotency-Key` with the same request answers with the first run."""
    given = request.body(StartRun)
    row, created = start_run(
        request.deployment,
        request.path("key"),
        given.inputs,
        given.reason,
        request.person,
        request.orchestrations,
        request.idempotency_key,
    )
    headers = {"Location": f"/api/runs/{row.id}", "Retry-After": "1"}
    if not created:
        headers["Idempotent-Replayed"] = "true"
    return Answer(RunView.of(row), 202, headers)


def index(request: Request) -> Answer:
    """Runs, newest first."""
    wanted = RunFilter(
        request.query("workflow"),
        state_of(request, RunState),
        id_of(request, "parent"),
        _position(request.query("cursor")),
    )
    with request.deployment.database.reading() as connection:
        rows = list_runs(connection, wanted, request.limit + 1)
    return Answer(Page[RunView].cut(rows, request.limit, RunView.of, _cursor))


def show(request: Request) -> Answer:
    """One run with its tasks, how far its dispatches are, and the runs that its steps have started."""
    run_id, now = request.id("id"), request.deployment.clock()
    with request.deployment.database.reading(frozen=True) as connection:
        run, tasks = get_run(connection, run_id), get_tasks(connection, run_id)
        begun = [task for task in tasks if task.verb == "dispatch" and task.state is not TaskState.PENDING]
        progress = {task.step_key: progress_of(connection, run, task, now) for task in begun}
        nesting = [task.step_key for task in tasks if task.verb == "run"]
        children = nested_runs(connection, run_id, nesting, SHOWN_CHILDREN)
        waiting = [row.id for row in open_of_run(connection, run_id)]
    return Answer(RunDetailView.with_tasks(run, tasks, progress, children, waiting))


def dead_letters(request: Request) -> Answer:
    """The records a run set aside, with reasons."""
    run_id, after = request.id("id"), _letter_position(request.query("cursor"))
    with request.deployment.database.reading() as connection:
        get_run(connection, run_id)
        rows = list_for_run(connection, run_id, after, request.limit + 1)
    return Answer(Page[DeadLetterView].cut(rows, request.limit, DeadLetterView.of))


def _cursor(row: RunRow) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()}|{row.id}".encode()).decode()


def _position(cursor: str | None) -> tuple[datetime, UUID] | None:
    if cursor is None:
        return None
    try:
        at, run_id = base64.urlsafe_b64decode(cursor).decode().split("|")
        return datetime.fromisoformat(at), UUID(run_id)
    except (binascii.Error, ValueError) as exc:
        raise InvalidRequest(_FOREIGN_CURSOR) from exc


def _letter_position(cursor: str | None) -> UUID | None:
    try:
        return None if cursor is None else UUID(cursor)
    except ValueError as exc:
        raise InvalidRequest(_FOREIGN_CURSOR) from exc


ENDPOINTS = (
    Endpoint(
        "runs_start",
        "POST",
        "workflows/{key}/runs",
        "Start a run",
        start,
        RunView,
        takes=StartRun,
        status=202,
        headers={"Idempotency-Key": "A key of yours; a repeat answers with the first run"},
        command="start_run",
    ),
    Endpoint(
        "runs_list",
        "GET",
        "runs",
        "List runs, newest first",
        index,
        Page[RunView],
        query={
            "workflow": "Only this workflow",
            "state": "Only this state",
            "parent": "Only runs that were started for this one",
            **PAGING,
        },
        command="list_runs",
    ),
    Endpoint(
        "runs_get",
        "GET",
        "runs/{id}",
        "One run with its tasks",
        show,
        RunDetailView,
        command="get_run",
    ),
    Endpoint(
        "runs_dead_letters",
        "GET",
        "runs/{id}/dead-letters",
        "Records a run set aside",
        dead_letters,
        Page[DeadLetterView],
        query=PAGING,
        command="list_dead_letters",
    ),
)
