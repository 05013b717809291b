"""Discard dead letters, or take them up again in a repair run, as they are or edited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from commands.deployment import Deployment
from commands.edits import edited
from commands.orchestrations import Orchestrations, told
from commands.permissions import permit
from commands.repairable import check_repairable
from kernel.errors import Conflict, Fault, InvalidRequest, NotFound
from kernel.ids import new_id
from kernel.people import Person
from store import audit, dead_letters, runs
from store.dead_letters import DeadLetter, Resolution
from store.letter_payloads import Payload, seal, unseal
from store.runs import RunRow
from store.workflows import version_by_id
from workflows.model import Workflow
from workflows.repairs import unneeded_steps
from workflows.states import TERMINAL_RUN_STATES, DeadLetterState, RunState, TaskState

STREAM = "dead_letters"
_GIVEN_UP = frozenset({RunState.FAILED, RunState.CANCELLED})


@dataclass(frozen=True)
class Retry:
    """Which dead letters someone wants taken up again, and with which changes.

    `edits` has new values by field; `places` the JSON pointer of each edit, for faults.
    """

    ids: Sequence[UUID]
    edits: Mapping[UUID, Mapping[str, Any]]
    places: Mapping[UUID, str]
    reason: str
    person: Person

    @property
    def actor(self) -> str:
        """Whom the audit trail names."""
        return self.person.id


def discard_letter(deployment: Deployment, letter_id: UUID, reason: str, person: Person) -> DeadLetter:
    """Decide that a record is not to be processed. To say the same again changes nothing.

    Raises `NotFound`, and `Conflict` when it is taken up again or somebody decided otherwise.
    """
    permit(person, "discard_dead_letter")
    now = deployment.clock()
    with deployment.database.transaction(person.id) as connection:
        [letter] = _locked(connection, [letter_id])
        if (letter.state, letter.resolution) == (DeadLetterState.DISCARDED, reason):
            return letter
        _make_open(connection, [letter])
        _certainly(
            dead_letters.discard(connection, [letter_id], Resolution(person.id, reason, now)), [letter]
        )
        details = {"reason": reason, "run": str(letter.run_id), "step": letter.step_key}
        audit.record(
            connection, stream=STREAM, actor=person.id, action="dead_letter.discarded",
            subject=str(letter_id), details=details, now=now,
        )  # fmt: skip
        return dead_letters.get_letter(connection, letter_id)


def retry_letters(deployment: Deployment, asked: Retry, orchestrations: Orchestrations) -> RunRow:
    """Start a repair run: of the same version and inputs, with these records, edited, in the place of the
    output of the step that could not go on with them.

    All or none. Raises `NotFound`, `InvalidRequest` with every fault of the edits or when the letters are not
    of one run and step, and `Conflict` when one was discarded or is taken up already.
    """
    permit(asked.person, "retry_dead_letters")
    run_id, now = new_id(), deployment.clock()
    with deployment.database.transaction(asked.actor) as connection:
        letters = _locked(connection, asked.ids)
        original = runs.get_run(connection, _one_origin(letters))
        workflow = Workflow.model_validate(version_by_id(connection, original.version_id).definition)
        _check_ended(original)
        check_repairable(connection, workflow, letters)
        _make_open(connection, letters)
        changed = _edited(connection, deployment, asked)
        _insert_run(connection, deployment, original, workflow, letters[0].step_key, run_id, asked, now)
        why = Resolution(asked.actor, asked.reason, now)
        _certainly(dead_letters.take_up(connection, asked.ids, run_id, changed, why), letters)
        _audit(connection, original, run_id, asked, now)
        row = runs.get_run(connection, run_id)
    told(run_id, lambda: orchestrations.start(run_id))
    return row


def _locked(connection: Connection, ids: Sequence[UUID]) -> list[DeadLetter]:
    letters = dead_letters.lock_letters(connection, ids)
    found = {letter.id for letter in letters}
    missing = [letter_id for letter_id in ids if letter_id not in found]
    if missing:
        raise NotFound(f"There is no dead letter {', '.join(map(str, missing[:5]))}.")
    return letters


def _one_origin(letters: Sequence[DeadLetter]) -> UUID:
    origins = {(letter.run_id, letter.step_key) for letter in letters}
    if len(origins) > 1:
        said = "; ".join(f"run {run_id}, step {step!r}" for run_id, step in sorted(origins)[:5])
        raise InvalidRequest(
            f"The dead letters are of different runs or steps ({said}). Retry those of one run and step "
            "together."
        )
    return letters[0].run_id


def _check_ended(run: RunRow) -> None:
    if run.state not in TERMINAL_RUN_STATES:
        raise Conflict(
            f"The run {run.id} is {run.state} and may still deal with these records itself; wait for its end."
        )


def _make_open(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Open again what a repair run was to take up and did not. `Conflict` for what is not open then."""
    retried = [letter for letter in letters if letter.state is DeadLetterState.RETRIED]
    failed = [one.id for one in retried if _state_of(connection, one.retry_run) in _GIVEN_UP]
    opened = dead_letters.reopen(connection, failed) if failed else set()
    for letter in letters:
        if letter.state is not DeadLetterState.OPEN and letter.id not in opened:
            by = f" by the run {letter.retry_run}" if letter.retry_run else ""
            raise Conflict(f"The dead letter {letter.id} is {letter.state}{by}; only an OPEN one can change.")


def _state_of(connection: Connection, run_id: UUID | None) -> RunState | None:
    return None if run_id is None else runs.get_run(connection, run_id).state


def _edited(connection: Connection, deployment: Deployment, asked: Retry) -> dict[UUID, bytes]:
    """The edited records, sealed. Raises `InvalidRequest` with every fault."""
    strange = [letter_id for letter_id in asked.edits if letter_id not in set(asked.ids)]
    faults = [Fault("unknown_id", "Not one of `ids`.", asked.places[letter_id]) for letter_id in strange]
    changed: dict[UUID, bytes] = {}
    columns = set()
    for letter in dead_letters.sealed_letters(connection, asked.ids):
        payload = unseal(deployment.envelope, letter.payload, letter.run_id)
        columns.add(payload.columns)
        if changes := asked.edits.get(letter.id):
            new, wrong = edited(payload, changes, asked.places[letter.id])
            changed[letter.id] = _sealed(deployment, new, letter.run_id)
            faults += wrong
    if len(columns) > 1:
        raise InvalidRequest(
            "The records have different columns; retry those with the same columns together."
        )
    if faults:
        raise InvalidRequest("The edits do not fit the records; nothing was changed.", faults=faults)
    return changed


def _sealed(deployment: Deployment, payload: Payload, run_id: UUID) -> bytes:
    return seal(deployment.envelope, payload, run_id)


def _insert_run(
    connection: Connection, deployment: Deployment, original: RunRow, workflow: Workflow, step_key: str,
    run_id: UUID, asked: Retry, now: datetime,
) -> None:  # fmt: skip
    values = {
        "id": run_id,
        "workflow": original.workflow,
        "version_id": original.version_id,
        "environment": deployment.environment,
        "inputs": original.inputs,
        "requested_by": asked.actor,
        "reason": asked.reason,
        "created_at": now,
        "repair_of": original.id,
    }
    runs.insert_run(connection, values, [(step.key, step.kind) for step in workflow.steps])
    replaced = workflow.step(step_key).rejecting
    unneeded = unneeded_steps(workflow, replaced, deployment.engine)
    runs.finish_tasks(connection, run_id, TaskState.SKIPPED, now, keys=unneeded)


def _certainly(changed: set[UUID], letters: Sequence[DeadLetter]) -> None:
    """The letters are locked, so that they are as they were read; whoever gets past that must not half
    succeed."""
    if changed != {letter.id for letter in letters}:
        raise Conflict("A dead letter was changed meanwhile; look at them and decide again.")


def _audit(connection: Connection, original: RunRow, run_id: UUID, asked: Retry, now: datetime) -> None:
    started = {
        "workflow": original.workflow,
        "version": original.version,
        "repair_of": str(original.id),
        "dead_letters": len(asked.ids),
    }
    audit.record(
        connection, stream=audit.run_stream(run_id), actor=asked.actor, action="run.started",
        subject=str(run_id), details=started, now=now,
    )  # fmt: skip
    for letter_id in asked.ids:
        fields = sorted(asked.edits.get(letter_id, ()))
        audit.record(
            connection, stream=STREAM, actor=asked.actor, action="dead_letter.retried",
            subject=str(letter_id), now=now,
            details={"reason": asked.reason, "run": str(run_id), "edited": fields},
        )  # fmt: skip
