"""Endpoints for chunks: those of a run, and one with all that is known of it."""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from kernel.errors import InvalidRequest
from store.chunk_list import ChunkFilter, get_chunk, list_chunks
from store.chunk_tasks import tasks_of
from store.chunks import ChunkRow, count_chunks
from store.dead_letters import LetterFilter, list_letters
from store.nested_runs import nested_run
from store.posting_list import PostingFilter, list_postings
from store.runs import get_run, get_tasks
from store.transitions import transitions_of
from triggers.chunk_views import ChunkDetailView, ChunkListView, ChunkView
from triggers.filters import PAGING, state_of
from triggers.http import Answer, Endpoint, Request
from workflows.states import TaskState

SHOWN = 50
"""Postings and dead letters of one chunk that are shown with it."""
MAX_WORDS = 10
_CURSOR = re.compile(r"(?P<step>[a-z][a-z0-9_]*)\|(?P<number>[0-9]{1,9})")


def index(request: Request) -> Answer:
    """Chunks of a run: dispatch after dispatch, in the order of their records."""
    run_id, state = request.id("id"), state_of(request, TaskState)
    cursor = request.query("cursor")
    with request.deployment.database.reading(frozen=True) as connection:
        steps = _steps(request, connection, run_id)
        begin, after = _position(cursor, steps)
        wanted = ChunkFilter(state, _words(request), after)
        found = _found(connection, run_id, steps[begin:], wanted, request.limit + 1)
        counts = _counts(connection, run_id, steps) if cursor is None else None
    shown = found[: request.limit]
    following = _cursor(shown[-1]) if len(found) > request.limit else None
    return Answer(ChunkListView(items=[ChunkView.of(row) for row in shown], next=following, counts=counts))


def show(request: Request) -> Answer:
    """One chunk with its tasks, postings, dead letters and nested run."""
    chunk_id = request.id("id")
    with request.deployment.database.reading(frozen=True) as connection:
        row = get_chunk(connection, chunk_id)
        tasks = tasks_of(connection, row.run_id, [row.id])[row.id]
        postings = list_postings(connection, PostingFilter(chunk_id=row.id), SHOWN)
        letters = list_letters(connection, LetterFilter(chunk_id=row.id), SHOWN)
        child = None if row.child_run_id is None else nested_run(connection, row.child_run_id)
        changes = transitions_of(connection, row.id)
    return Answer(ChunkDetailView.with_details(row, tasks, (postings, letters), child, changes))


def _steps(request: Request, connection: Connection, run_id: UUID) -> list[str]:
    """The dispatches that are asked for: one, or all of the run's."""
    get_run(connection, run_id)
    steps = [task.step_key for task in get_tasks(connection, run_id) if task.verb == "dispatch"]
    wanted = request.query("step")
    if wanted is None:
        return steps
    if wanted not in steps:
        known = ", ".join(map(repr, steps)) or "none"
        raise InvalidRequest(
            f"`step` is {wanted[:70]!r}, which is no dispatch of the run. Its dispatches: {known}."
        )
    return [wanted]


def _words(request: Request) -> list[str]:
    words = (request.query("key") or "").split()
    if len(words) > MAX_WORDS:
        raise InvalidRequest(f"`key` has {len(words)} words; use at most {MAX_WORDS}.")
    return words


def _found(
    connection: Connection, run_id: UUID, steps: Sequence[str], wanted: ChunkFilter, limit: int
) -> list[ChunkRow]:
    found: list[ChunkRow] = []
    for step in steps:
        found += list_chunks(connection, run_id, step, wanted, limit - len(found))
        if len(found) == limit:
            break
        wanted = ChunkFilter(wanted.state, wanted.words)
    return found


def _counts(connection: Connection, run_id: UUID, steps: Sequence[str]) -> dict[str, int]:
    counts = sum((count_chunks(connection, run_id, step) for step in steps), Counter[TaskState]())
    return {state.value: counts[state] for state in TaskState}


def _cursor(last: ChunkRow) -> str:
    return base64.urlsafe_b64encode(f"{last.step_key}|{last.number}".encode()).decode()


def _position(cursor: str | None, steps: Sequence[str]) -> tuple[int, int]:
    """Which of the dispatches goes on, and behind which of its chunks."""
    if cursor is None:
        return 0, -1
    try:
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(cursor).decode())
    except (binascii.Error, ValueError):
        found = None
    if found is None or found["step"] not in steps:
        raise InvalidRequest("The cursor is not one of this list; start again without it.")
    return steps.index(found["step"]), int(found["number"])


ENDPOINTS = (
    Endpoint(
        "runs_chunks",
        "GET",
        "runs/{id}/chunks",
        "Chunks of a run's dispatches",
        index,
        ChunkListView,
        query={
            "step": "Only of this dispatch",
            "state": "Only in this state",
            "key": "Only those whose business key has these words, or parts of them, in its values",
            **PAGING,
        },
        command="get_run",
    ),
    Endpoint(
        "chunks_get",
        "GET",
        "chunks/{id}",
        "One chunk with its tasks, postings and dead letters",
        show,
        ChunkDetailView,
        command="get_run",
    ),
)
