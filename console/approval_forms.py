"""The forms of a request's page. A decision takes two of them, so that none is made by accident: the first
only leads to a page that says again what would happen, the second decides."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from uuid import UUID

from commands.approvals import ApprovalFile, open_file
from commands.deciding import APPROVE, REJECT, Decision, comment, decide, reassign, refusal_of
from console import wording
from console.approval_page import ID, address_of, page_of, subject_of
from console.forms import read_form
from console.tokens import FormTooOld
from console.visit import LINK, TOKEN, Answer, Elsewhere, Page, Visit
from kernel.errors import Conflict, Forbidden, InvalidRequest, SluiceError
from workflows.deciding import Standing

_DECIDING = ("decision", "reason")
_STATUSES: Mapping[type[SluiceError], int] = MappingProxyType({Forbidden: 403, Conflict: 409})
_NOT_TAKEN = "Your decision was not taken."
_NO_REASON = "Say why you reject it: whoever asked has to know."

type Act = Callable[[Mapping[str, str]], Answer]


def back(visit: Visit) -> Answer:
    """To the page: somebody has opened the address of a form."""
    return Elsewhere(address_of(visit.id(ID)))


def confirm(visit: Visit) -> Answer:
    """Say again what would happen. Nothing is decided yet."""
    approval_id = visit.id(ID)

    def ask_again(sent: Mapping[str, str]) -> Answer:
        file = open_file(visit.deployment, approval_id, visit.person)
        standing = wording.standing_of(file)
        if standing is not Standing.MAY_DECIDE:
            raise refusal_of(standing)
        if sent["decision"] == REJECT and not sent["reason"]:
            raise InvalidRequest(_NO_REASON)
        return _confirmation(visit, file, sent)

    return _answered(visit, _DECIDING, subject_of(approval_id), ask_again)


def decision(visit: Visit) -> Answer:
    """Decide. The token is that of the page that said again what this decision does."""
    approval_id = visit.id(ID)
    wanted = read_form(visit.http, {*_DECIDING, TOKEN, LINK})["decision"]

    def decided(sent: Mapping[str, str]) -> Answer:
        link, address = visit.link(sent[LINK], approval_id), visit.site.door.address(visit.http)
        given = Decision(approval_id, sent["decision"], sent["reason"], "page", link, address)
        decide(visit.deployment, given, visit.person, visit.orchestrations)
        return Elsewhere(address_of(approval_id))

    return _answered(visit, _DECIDING, _confirmed(approval_id, wanted), decided)


def comments(visit: Visit) -> Answer:
    """Ask or answer something."""
    approval_id = visit.id(ID)

    def said(sent: Mapping[str, str]) -> Answer:
        comment(visit.deployment, approval_id, sent["text"], visit.person)
        return Elsewhere(f"{address_of(approval_id)}#conversation")

    return _answered(visit, ("text",), subject_of(approval_id), said)


def reassignment(visit: Visit) -> Answer:
    """Have others decide."""
    approval_id = visit.id(ID)

    def handed_on(sent: Mapping[str, str]) -> Answer:
        to = [name.strip() for name in sent["to"].split(",") if name.strip()]
        reassign(visit.deployment, approval_id, to, sent["why"], visit.person)
        return Elsewhere(f"{address_of(approval_id)}#deciders")

    return _answered(visit, ("to", "why"), subject_of(approval_id), handed_on)


def _answered(visit: Visit, names: Collection[str], subject: str, act: Act) -> Answer:
    """Do what a form wants. What is wrong with it is said on the page, with what was typed."""
    try:
        sent = visit.form(names, subject)
    except FormTooOld as exc:
        return _page_again(visit, exc, read_form(visit.http, {*names, TOKEN, LINK}))
    try:
        return act(sent)
    except (Forbidden, Conflict, InvalidRequest) as exc:
        return _page_again(visit, exc, sent)


def _page_again(visit: Visit, error: SluiceError, typed: Mapping[str, str]) -> Page:
    file = open_file(visit.deployment, visit.id(ID), visit.person)
    status = next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), 422)
    refused = any(fault.code in Standing for fault in error.faults)
    problem = _NOT_TAKEN if refused else " ".join([error.message, *(one.message for one in error.faults)])
    return page_of(visit, file, link=typed[LINK], status=status, problem=problem, typed=typed)


def _confirmed(approval_id: UUID, wanted: str) -> str:
    return f"confirmed {wanted} {approval_id}"


def _confirmation(visit: Visit, file: ApprovalFile, sent: Mapping[str, str]) -> Page:
    row = file.approval
    content = {
        "row": row,
        "file": file,
        "agrees": sent["decision"] == APPROVE,
        "decision": sent["decision"],
        "reason": sent["reason"],
        "link": sent[LINK],
        "token": visit.token(_confirmed(row.id, sent["decision"])),
    }
    return Page("confirm.html", content)
