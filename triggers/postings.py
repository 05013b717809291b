"""Endpoints for postings: what became of each record, and what a person says about those in doubt."""

from commands.postings import Resolve, resolve_posting
from store.posting_list import PostingDetail, PostingFilter, get_posting, list_postings
from store.transitions import transitions_of
from triggers.filters import PAGING, id_of, state_of
from triggers.http import Answer, Endpoint, Request
from triggers.posting_views import PostingDetailView, PostingView, ResolvePosting
from triggers.views import Page
from workflows.states import PostingState


def index(request: Request) -> Answer:
    """Postings, newest first."""
    wanted = PostingFilter(
        id_of(request, "run"),
        request.query("step"),
        state_of(request, PostingState),
        request.query("connector"),
        id_of(request, "chunk"),
        id_of(request, "cursor"),
    )
    with request.deployment.database.reading() as connection:
        rows = list_postings(connection, wanted, request.limit + 1)
    return Answer(Page[PostingView].cut(rows, request.limit, PostingView.of))


def show(request: Request) -> Answer:
    """One posting with its transitions."""
    posting_id = request.id("id")
    with request.deployment.database.reading() as connection:
        row = get_posting(connection, posting_id)
    return _detail(request, row)


def resolve(request: Request) -> Answer:
    """Write down what a person has found out about a posting in doubt."""
    given, posting_id = request.body(ResolvePosting), request.id("id")
    asked = Resolve(posting_id, given.outcome, given.external_id, given.reason, request.person)
    return _detail(request, resolve_posting(request.deployment, asked))


def _detail(request: Request, row: PostingDetail) -> Answer:
    with request.deployment.database.reading() as connection:
        return Answer(PostingDetailView.with_transitions(row, transitions_of(connection, row.id)))


ENDPOINTS = (
    Endpoint(
        "postings_list",
        "GET",
        "postings",
        "Records on their way into systems, newest first",
        index,
        Page[PostingView],
        query={
            "run": "Only of this run",
            "step": "Only of this step",
            "state": "Only in this state",
            "connector": "Only into this system",
            "chunk": "Only of this chunk",
            **PAGING,
        },
        command="list_postings",
    ),
    Endpoint(
        "postings_get",
        "GET",
        "postings/{id}",
        "One posting with its transitions",
        show,
        PostingDetailView,
        command="get_posting",
    ),
    Endpoint(
        "postings_resolve",
        "POST",
        "postings/{id}/resolve",
        "Say whether a record in doubt is in the system",
        resolve,
        PostingDetailView,
        takes=ResolvePosting,
        command="resolve_posting",
    ),
)
