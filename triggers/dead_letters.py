"""Endpoints for dead letters: look, discard, take up again."""

from uuid import UUID

from commands.dead_letters import Retry, discard_letter, retry_letters
from store.dead_letters import DeadLetter, LetterFilter, get_letter, list_letters
from store.transitions import transitions_of
from triggers.filters import PAGING, id_of, state_of
from triggers.http import Answer, Endpoint, Request
from triggers.posting_views import (
    DiscardDeadLetter,
    LetterDetailView,
    LetterView,
    RetryDeadLetter,
    RetryDeadLetters,
)
from triggers.views import Page, RunView
from workflows.states import DeadLetterState


def index(request: Request) -> Answer:
    """Dead letters, newest first."""
    wanted = LetterFilter(
        id_of(request, "run"),
        request.query("workflow"),
        request.query("step"),
        state_of(request, DeadLetterState),
        id_of(request, "chunk"),
        id_of(request, "cursor"),
    )
    with request.deployment.database.reading() as connection:
        rows = list_letters(connection, wanted, request.limit + 1)
    return Answer(Page[LetterView].cut(rows, request.limit, LetterView.of))


def show(request: Request) -> Answer:
    """One dead letter with its transitions."""
    letter_id = request.id("id")
    with request.deployment.database.reading() as connection:
        letter = get_letter(connection, letter_id)
    return _detail(request, letter)


def discard(request: Request) -> Answer:
    """Decide that a record is not to be processed."""
    given, letter_id = request.body(DiscardDeadLetter), request.id("id")
    return _detail(request, discard_letter(request.deployment, letter_id, given.reason, request.person))


def retry_one(request: Request) -> Answer:
    """Start a repair run with one record."""
    given, letter_id = request.body(RetryDeadLetter), request.id("id")
    edits = {letter_id: given.edit} if given.edit else {}
    return _retried(request, Retry([letter_id], edits, {letter_id: "/edit"}, given.reason, request.person))


def retry(request: Request) -> Answer:
    """Start a repair run with several records of one run and step."""
    given = request.body(RetryDeadLetters)
    ids: list[UUID] = list(dict.fromkeys(given.ids))
    places = {letter_id: f"/edits/{letter_id}" for letter_id in given.edits}
    return _retried(request, Retry(ids, given.edits, places, given.reason, request.person))


def _retried(request: Request, asked: Retry) -> Answer:
    run = retry_letters(request.deployment, asked, request.orchestrations)
    return Answer(RunView.of(run), 202, {"Location": f"/api/runs/{run.id}", "Retry-After": "1"})


def _detail(request: Request, letter: DeadLetter) -> Answer:
    with request.deployment.database.reading() as connection:
        return Answer(LetterDetailView.with_transitions(letter, transitions_of(connection, letter.id)))


ENDPOINTS = (
    Endpoint(
        "dead_letters_list",
        "GET",
        "dead-letters",
        "Records that were set aside, newest first",
        index,
        Page[LetterView],
        query={
            "run": "Only of this run",
            "workflow": "Only of this workflow",
            "step": "Only of this step",
            "state": "Only in this state",
            "chunk": "Only of this chunk",
            **PAGING,
        },
        command="list_dead_letters",
    ),
    Endpoint(
        "dead_letters_get",
        "GET",
        "dead-letters/{id}",
        "One dead letter with its transitions",
        show,
        LetterDetailView,
        command="get_dead_letter",
    ),
    Endpoint(
        "dead_letters_discard",
        "POST",
        "dead-letters/{id}/discard",
        "Decide that a record is not to be processed",
        discard,
        LetterDetailView,
        takes=DiscardDeadLetter,
        command="discard_dead_letter",
    ),
    Endpoint(
        "dead_letters_retry",
        "POST",
        "dead-letters/retry",
        "Take up records of one run and step again in a repair run",
        retry,
        RunView,
        takes=RetryDeadLetters,
        status=202,
        command="retry_dead_letters",
    ),
    Endpoint(
        "dead_letters_retry_one",
        "POST",
        "dead-letters/{id}/retry",
        "Take up one record again in a repair run",
        retry_one,
        RunView,
        takes=RetryDeadLetter,
        status=202,
        command="retry_dead_letters",
    ),
)
