"""Endpoints for approvals: look, decide, ask, hand on."""

from uuid import UUID

from commands.approval_lists import Wanted, list_page
from commands.approvals import open_file
from commands.deciding import Decision, comment, decide, reassign
from kernel.errors import InvalidRequest, NotFound
from triggers.addresses import client_address
from triggers.approval_views import (
    ApprovalDetailView,
    ApprovalView,
    CommentApproval,
    DecideApproval,
    LinesView,
    ReassignApproval,
)
from triggers.filters import PAGING, id_of, state_of
from triggers.http import Answer, Endpoint, Request
from triggers.views import Page
from workflows.states import ApprovalState


def index(request: Request) -> Answer:
    """Requests for approval, newest first."""
    state = state_of(request, ApprovalState)
    mine, run_id, after = _flag(request, "mine"), id_of(request, "run"), id_of(request, "cursor")
    wanted = Wanted([state] if state else [], mine, run_id, after)
    listed = list_page(request.deployment, wanted, request.person, request.limit)
    following = str(listed.following) if listed.following else None
    return Answer(Page[ApprovalView](items=[ApprovalView.of(row) for row in listed.rows], next=following))


def _flag(request: Request, name: str) -> bool:
    text = (request.query(name) or "false").lower()
    if text not in ("true", "false"):
        raise InvalidRequest(f"`{name}` is {text[:20]!r}; use true or false.")
    return text == "true"


def show(request: Request) -> Answer:
    """One request with what was said about it."""
    return _detail(request, request.id("id"))


def lines(request: Request) -> Answer:
    """The records that a write will send if it is approved."""
    file = open_file(request.deployment, request.id("id"), request.person)
    wanted = request.query("step") or (file.lines[0].step if file.lines else "")
    found = next((one for one in file.lines if one.step == wanted), None)
    if found is None:
        raise NotFound("The records are kept only while the run waits; look at its postings instead.")
    cursor = request.query("cursor") or "0"
    if not cursor.isdecimal():
        raise InvalidRequest(f"`cursor` is {cursor[:20]!r}, which is no number.")
    return Answer(LinesView.of(found, int(cursor), request.limit))


def decisions(request: Request) -> Answer:
    """Approve or reject."""
    given, approval_id = request.body(DecideApproval), request.id("id")
    asked = Decision(approval_id, given.decision, given.reason, "api", address=client_address(request.http))
    decide(request.deployment, asked, request.person, request.orchestrations)
    return _detail(request, approval_id)


def comments(request: Request) -> Answer:
    """Ask or answer something."""
    approval_id = request.id("id")
    comment(request.deployment, approval_id, request.body(CommentApproval).text, request.person)
    return _detail(request, approval_id)


def reassignments(request: Request) -> Answer:
    """Have others decide."""
    given, approval_id = request.body(ReassignApproval), request.id("id")
    reassign(request.deployment, approval_id, given.to, given.reason, request.person)
    return _detail(request, approval_id)


def _detail(request: Request, approval_id: UUID) -> Answer:
    file = open_file(request.deployment, approval_id, request.person, records=False)
    return Answer(ApprovalDetailView.of_file(file))


ENDPOINTS = (
    Endpoint(
        "approvals_list",
        "GET",
        "approvals",
        "Requests for approval, newest first",
        index,
        Page[ApprovalView],
        query={
            "state": "Only in this state",
            "mine": "Only those that the caller may decide now",
            "run": "Only of this run",
            **PAGING,
        },
        command="list_approvals",
    ),
    Endpoint(
        "approvals_get",
        "GET",
        "approvals/{id}",
        "One request with what was said about it",
        show,
        ApprovalDetailView,
        command="get_approval",
    ),
    Endpoint(
        "approvals_lines",
        "GET",
        "approvals/{id}/lines",
        "The records that a write will send if it is approved",
        lines,
        LinesView,
        query={"step": "The step that writes", "cursor": "How many to leave out", "limit": "Items a page"},
        command="get_approval",
    ),
    Endpoint(
        "approvals_decide",
        "POST",
        "approvals/{id}/decisions",
        "Approve or reject",
        decisions,
        ApprovalDetailView,
        takes=DecideApproval,
        command="decide_approval",
    ),
    Endpoint(
        "approvals_comment",
        "POST",
        "approvals/{id}/comments",
        "Ask or answer something",
        comments,
        ApprovalDetailView,
        takes=CommentApproval,
        command="comment_approval",
    ),
    Endpoint(
        "approvals_reassign",
        "POST",
        "approvals/{id}/reassignments",
        "Have others decide",
        reassignments,
        ApprovalDetailView,
        takes=ReassignApproval,
        command="reassign_approval",
    ),
)
"""All of them."""
