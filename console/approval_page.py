"""The page of one request for approval."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from commands.approvals import ApprovalFile, open_file
from commands.deciding import APPROVE, REJECT, note_viewing
from console import wording
from console.line_tables import LineTable, Wanted, as_csv, line_table
from console.visit import LINK, Answer, Download, Page, Visit
from kernel.errors import NotFound
from workflows.deciding import Standing
from workflows.states import ApprovalState

ID = "id"


def show(visit: Visit) -> Answer:
    """Everything that helps to decide. Looking decides nothing; who has looked is written down."""
    file = open_file(visit.deployment, visit.id(ID), visit.person)
    token = visit.query(LINK)
    _note(visit, file, visit.link(token, file.approval.id))
    return page_of(visit, file, link=token)


def download(visit: Visit) -> Answer:
    """The records of one write as CSV, as the visitor may see them."""
    file = open_file(visit.deployment, visit.id(ID), visit.person)
    wanted = visit.query("step")
    lines = next((one for one in file.lines if one.step == wanted), None)
    if lines is None:
        raise NotFound("The records are kept only while the run waits.")
    _note(visit, file, None)
    name = f"{file.run.workflow}-{file.approval.id}.csv"
    return Download(name, "text/csv; charset=utf-8", as_csv(lines))


def page_of(
    visit: Visit,
    file: ApprovalFile,
    *,
    link: str = "",
    status: int = 200,
    problem: str = "",
    typed: Mapping[str, str] | None = None,
) -> Page:
    """The page; `problem` is what was wrong with a form, `typed` what stood in it."""
    row, standing = file.approval, wording.standing_of(file)
    opened = row.state is ApprovalState.REQUESTED and standing is not Standing.CANCELLED
    content: dict[str, Any] = {
        "file": file,
        "row": row,
        "now": visit.now,
        "notice": wording.notice(standing),
        "outcome": wording.outcome(file),
        "tables": _tables(visit, file),
        "search": visit.query("q"),
        "may_decide": standing is Standing.MAY_DECIDE and visit.may("decide_approval"),
        "lacks_role": standing is Standing.MAY_DECIDE and not visit.may("decide_approval"),
        "may_comment": visit.may("comment_approval"),
        "may_reassign": opened and _may_reassign(visit, file),
        "opened": opened,
        "approved": sum(1 for one in file.said if one.decision == APPROVE),
        "approve": APPROVE,
        "reject": REJECT,
        "token": visit.token(subject_of(row.id)),
        "link": link,
        "problem": problem,
        "typed": typed or {},
    }
    return Page("approval.html", content, status)


def subject_of(approval_id: UUID) -> str:
    """What the forms of a request's page are about."""
    return f"approval {approval_id}"


def address_of(approval_id: UUID) -> str:
    """Where the page of a request is."""
    return f"/approvals/{approval_id}"


def _note(visit: Visit, file: ApprovalFile, link: UUID | None) -> None:
    if visit.looks:
        note_viewing(visit.deployment, file.approval, visit.person, link, visit.site.door.address(visit.http))


def _may_reassign(visit: Visit, file: ApprovalFile) -> bool:
    asked = bool(file.asked_as) and visit.may("reassign_approval")
    return asked or visit.may("reassign_any_approval")


def _tables(visit: Visit, file: ApprovalFile) -> list[LineTable]:
    measures = {write["step"]: write["measures"] for write in wording.writes(file.approval)}
    text, step, page = visit.query("q"), visit.query("step"), visit.query("page")
    number = int(page) if page.isascii() and page.isdecimal() and len(page) < 9 else 1
    return [
        line_table(
            lines,
            measures.get(lines.step, {}),
            Wanted(text, number if step in ("", lines.step) else 1),
        )
        for lines in file.lines
    ]
