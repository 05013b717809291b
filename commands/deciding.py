"""What people do with requests for approval: decide, ask and answer, hand on.

The decision is committed first; then the run is woken, and if that is lost, the sweep does it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import Connection

from commands.deployment import Deployment
from commands.orchestrations import Orchestrations, told
from commands.permissions import permit
from kernel.errors import Conflict, Fault, Forbidden, InvalidRequest, SluiceError
from kernel.people import Person
from store import approvals, decisions
from store.approval_ends import end_approval, pass_deadline, record_event
from store.approvals import ApprovalRow
from store.decisions import DecisionRow
from store.notifications import announce
from store.operating import lock_run
from store.runs import RunRow
from workflows.deciding import WORDS, Question, Standing, asked_by, standing_of
from workflows.states import TERMINAL_RUN_STATES, ApprovalState

APPROVE, REJECT = "approve", "reject"
MAX_TEXT = 2_000
_FORBIDDEN = (Standing.OWN_REQUEST, Standing.NOT_ASKED)


@dataclass(frozen=True)
class Decision:
    """What somebody decides, why, and how they came: `source` is page or api, `link` the notification whose
    link they followed, `address` their network address."""

    approval_id: UUID
    decision: str
    reason: str = ""
    source: str = "api"
    link: UUID | None = None
    address: str | None = None


@dataclass(frozen=True)
class Decided:
    """The request as it is now, and whether the same person had said the same before."""

    approval: ApprovalRow
    repeated: bool = False


def decide(
    deployment: Deployment, given: Decision, person: Person, orchestrations: Orchestrations
) -> Decided:
    """Write a decision down, end the request when it is the last one needed, and wake the run.

    Raises `NotFound`; `Forbidden` when the person may not decide this; `InvalidRequest` for a rejection
    without a reason; `Conflict` when it was decided, has expired, or means nothing any more.
    """
    permit(person, "decide_approval")
    _check_text(given)
    now = deployment.clock()
    with deployment.database.transaction(person.id, swift=True) as connection:
        row = approvals.get_approval(connection, given.approval_id)
        run = lock_run(connection, row.run_id)
        row = approvals.lock_approval(connection, row.id)
        if pass_deadline(connection, row, now):
            row = approvals.get_approval(connection, row.id)
        said = decisions.decisions_of(connection, row.id)
        refused = _Saying(connection, given, person, row, said, now).say(run)
        row = approvals.get_approval(connection, row.id)
    if row.state is not ApprovalState.REQUESTED:
        _tell(orchestrations, run, row)
    if isinstance(refused, SluiceError):
        raise refused
    return Decided(row, repeated=refused)


def question_of(row: ApprovalRow, said: list[DecisionRow]) -> Question:
    """What of a request decides who may answer it."""
    return Question(row.state, row.approvers, row.excluded, [one.actor for one in said], row.due_at)


@dataclass(frozen=True)
class _Saying:
    """A decision in its transaction, with run and request locked."""

    connection: Connection
    given: Decision
    person: Person
    row: ApprovalRow
    said: list[DecisionRow]
    now: datetime

    def say(self, run: RunRow) -> SluiceError | bool:
        """Whether the same was said before, or why nothing can be said; that is written down too."""
        standing = standing_of(self._question, self.person.id, self.person.groups, self.now)
        if run.state in TERMINAL_RUN_STATES and standing is Standing.MAY_DECIDE:
            standing = Standing.CANCELLED
        if any(one.actor == self.person.id and one.decision == self.given.decision for one in self.said):
            return True
        if standing is not Standing.MAY_DECIDE:
            self._refused(standing)
            return refusal_of(standing)
        self._write_down()
        self._end_if_enough()
        return False

    def _refused(self, standing: Standing) -> None:
        """What somebody wanted who came too late is kept with how the request ended."""
        self._event("approval.decision_refused", standing=standing.value)
        asked = asked_by(self._question, self.person.id, self.person.groups)
        if asked and standing not in _FORBIDDEN and standing is not Standing.ALREADY_SAID:
            late = {"actor": self.person.id, "decision": self.given.decision, "at": self.now.isoformat()}
            approvals.note_late(self.connection, self.row, late)

    @property
    def _question(self) -> Question:
        return question_of(self.row, self.said)

    def _write_down(self) -> None:
        given, groups = self.given, asked_by(self._question, self.person.id, self.person.groups)
        values = {
            "approval_id": self.row.id,
            "decision": given.decision,
            "reason": given.reason,
            "actor": self.person.id,
            "level": self.row.level,
            "groups": groups,
            "source": given.source,
            "link": given.link,
            "address": given.address,
            "decided_at": self.now,
        }
        decisions.insert_decision(self.connection, values)
        self._event("approval.decided", groups=", ".join(groups), address=given.address or "")

    def _end_if_enough(self) -> None:
        outcome: dict[str, str | None] = {"by": "people", "decided_by": self.person.id}
        due_at = self.row.due_at.isoformat() if self.row.due_at else None
        outcome |= {"decided_at": self.now.isoformat(), "due_at": due_at}
        agreed = 1 + sum(1 for one in self.said if one.decision == APPROVE)
        if self.given.decision == REJECT:
            outcome["reason"] = self.given.reason
            self._end(ApprovalState.REJECTED, outcome)
        elif agreed >= self.row.quorum:
            self._end(ApprovalState.APPROVED, outcome)

    def _end(self, state: ApprovalState, outcome: Mapping[str, str | None]) -> None:
        end_approval(self.connection, self.row, state, outcome, self.person.id, self.now)

    def _event(self, action: str, **details: str) -> None:
        given = self.given
        known = {"decision": given.decision, "source": given.source, "link": str(given.link or ""), **details}
        record_event(self.connection, self.row, action, self.person.id, self.now, known)


def refusal_of(standing: Standing) -> SluiceError:
    """The error for somebody who stands so to a request."""
    kind = Forbidden if standing in _FORBIDDEN else Conflict
    return kind(WORDS[standing], faults=[Fault(standing.value, WORDS[standing])])


_TEXTS: Mapping[str, str] = MappingProxyType({"reason": "reason", "text": "comment"})


def _check_text(given: Decision) -> None:
    if given.decision not in (APPROVE, REJECT):
        fault = Fault("decision", "Use approve or reject.", path="/decision")
        raise InvalidRequest("There is no such decision.", faults=[fault])
    if given.decision == REJECT and not given.reason.strip():
        fault = Fault("missing_reason", "Say why, in a few words.", path="/reason")
        raise InvalidRequest("A rejection needs a reason.", faults=[fault])
    _check_length(given.reason, "reason")


def _check_length(text: str, name: str) -> None:
    if len(text) > MAX_TEXT:
        said = f"It has {len(text):,} characters; at most {MAX_TEXT:,} are kept."
        raise InvalidRequest(
            f"The {_TEXTS[name]} is too long.", faults=[Fault("too_long", said, path=f"/{name}")]
        )


def comment(deployment: Deployment, approval_id: UUID, text: str, person: Person) -> ApprovalRow:
    """Ask or answer something; whoever is asked to decide, or has spoken before, is told."""
    permit(person, "comment_approval")
    if not text.strip():
        raise InvalidRequest("There is no text.", faults=[Fault("empty", "Write something.", path="/text")])
    _check_length(text, "text")
    now = deployment.clock()
    with deployment.database.transaction(person.id) as connection:
        row = approvals.lock_approval(connection, approval_id)
        decisions.insert_comment(connection, row.id, person.id, text, now)
        spoken = {one.actor for one in decisions.comments_of(connection, row.id)}
        people = [*row.audience["people"], *row.excluded, *sorted(spoken)]
        audience = {**row.audience, "people": [one for one in dict.fromkeys(people) if one != person.id]}
        announce(
            connection,
            row.id,
            "comment",
            audience,
            now,
            decisions.count_announced(connection, row.id, "comment"),
        )
        record_event(connection, row, "approval.commented", person.id, now, {})
    return row


def reassign(
    deployment: Deployment, approval_id: UUID, to: list[str], reason: str, person: Person
) -> ApprovalRow:
    """Have others decide, instead of those who were asked: groups, or people as `person:` and an id. An
    operator may, and whoever is asked; they cannot decide it themselves after that."""
    permit(person, "reassign_approval")
    _check_known(deployment, to)  # before any row is locked: the directory may be far away
    now = deployment.clock()
    with deployment.database.transaction(person.id) as connection:
        row = approvals.get_approval(connection, approval_id)
        run = lock_run(connection, row.run_id)
        row = approvals.lock_approval(connection, row.id)
        said = decisions.decisions_of(connection, row.id)
        if not asked_by(question_of(row, said), person.id, person.groups):
            permit(person, "reassign_any_approval")
        _check_reassigned(row, run, to, reason, person)
        values = {"approvers": list(dict.fromkeys(to)), "excluded": [*row.excluded, person.id]}
        approvals.change_open(connection, row.id, **values)
        changed = approvals.get_approval(connection, row.id)
        level = decisions.count_announced(connection, row.id, "reassigned")
        announce(connection, row.id, "reassigned", changed.audience, now, level)
        details = {"to": ", ".join(to), "from": ", ".join(row.approvers), "reason": reason}
        record_event(connection, row, "approval.reassigned", person.id, now, details)
    return changed


def _check_reassigned(row: ApprovalRow, run: RunRow, to: list[str], reason: str, person: Person) -> None:
    if row.state is not ApprovalState.REQUESTED or run.state in TERMINAL_RUN_STATES:
        raise Conflict(f"The request is {row.state}; only one that is open can be handed on.")
    if not to or not reason.strip():
        fault = Fault("missing", "Name to whom, and say why.", path="/to" if not to else "/reason")
        raise InvalidRequest("It is not said to whom, or why.", faults=[fault])
    _check_length(reason, "reason")
    barred = [f"person:{one}" for one in (*row.excluded, person.id)]
    if wrong := [name for name in to if name in barred]:
        said = f"{', '.join(wrong)} requested the run or hands it on, and cannot decide it."
        raise InvalidRequest("These people may not decide it.", faults=[Fault("barred", said, path="/to")])


def _check_known(deployment: Deployment, to: list[str]) -> None:
    """A name with a mistake in it would leave nobody to decide. Raises `Unavailable` when it is not known who
    is in a group."""
    groups = [name for name in to if not name.startswith("person:")]
    if unknown := [name for name in groups if not deployment.directory.members(name)]:
        names = ", ".join(unknown)
        said = f"Nobody is known to be in {names}. Name groups of the settings, or `person:` and an id."
        raise InvalidRequest("There is nobody to hand it on to.", faults=[Fault("nobody", said, path="/to")])


def note_viewing(
    deployment: Deployment, row: ApprovalRow, person: Person, link: UUID | None, address: str | None
) -> None:
    """Write down who has seen a request, by which link; once for each."""
    now = deployment.clock()
    with deployment.database.transaction(person.id) as connection:
        if decisions.note_viewing(connection, row.id, person.id, link, now):
            details = {"link": str(link or ""), "address": address or ""}
            record_event(connection, row, "approval.viewed", person.id, now, details)


def pass_deadlines(deployment: Deployment, orchestrations: Orchestrations, limit: int = 100) -> int:
    """Remind, escalate and end requests for which that is due; returns how many. A sweep: every change is
    compare-and-set, many instances may do it at once."""
    now = deployment.clock()
    with deployment.database.reading() as connection:
        due = approvals.overdue(connection, now, limit)
    return sum(_pass_one(deployment, orchestrations, *one, now) for one in due)


def _pass_one(
    deployment: Deployment, orchestrations: Orchestrations, approval_id: UUID, run_id: UUID, now: datetime
) -> bool:
    with deployment.database.transaction("sluice") as connection:
        run = lock_run(connection, run_id)
        row = approvals.lock_approval(connection, approval_id)
        passed = pass_deadline(connection, row, now)
        row = approvals.get_approval(connection, approval_id)
    if passed and row.state is not ApprovalState.REQUESTED:
        _tell(orchestrations, run, row)
    return passed


def _tell(orchestrations: Orchestrations, run: RunRow, row: ApprovalRow) -> None:
    """Wake the run; one that waits for its chunks hears of theirs as of everything else."""
    if row.chunk_id is None:
        told(run.id, lambda: orchestrations.decided(run.id, run.execution, row.id))
    else:
        told(run.id, lambda: orchestrations.wake(run.id, run.execution))
