"""What operators do to runs: cancel, pause, resume, retry from the failed step, replay.

The run row is locked, the table in `workflows.actions` says what the action comes to, and that is done and
audited in the same transaction. Durable execution is told afterwards; if that fails, a sweep does it.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from commands.deployment import Deployment
from commands.orchestrations import Orchestrations
from kernel.durations import parse_duration
from kernel.errors import Conflict
from kernel.ids import new_id
from kernel.traces import trace_of
from store import audit, executions, operating, postings, runs
from store.endings import end_run
from store.idempotency import IdempotentRequest, earlier_result, remember
from store.runs import RunRow
from store.workflows import version_by_id
from workflows.actions import Action, Effect, effect_of, refusal
from workflows.states import RunState, TaskState
from workflows.version import canonical_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What someone wants done with a run, and why. The same `idempotency_key` means the same request."""

    action: Action
    run_id: UUID
    reason: str
    actor: str
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Operated:
    """What came of it: the run (the new one of a replay), and whether an earlier request had done it."""

    run: RunRow
    effect: Effect
    repeated: bool = False


def operate(deployment: Deployment, asked: Asked, orchestrations: Orchestrations) -> Operated:
    """Do what is asked, once.

    Raises `NotFound`, and `Conflict` when the run is in a state that does not allow it.
    """
    request, now = _request(asked), deployment.clock()
    with deployment.database.transaction(asked.actor) as connection:
        earlier = earlier_result(connection, request) if asked.idempotency_key else None
        if earlier is not None:
            row = runs.get_run(connection, UUID(earlier["run_id"]))
            return Operated(row, Effect(earlier["effect"]), repeated=True)
        run = operating.lock_run(connection, asked.run_id)
        effect = permitted(asked.action, run)
        run_id = _EFFECTS[effect](_Doing(connection, deployment, asked, run, now))
        if asked.idempotency_key:
            remember(connection, request, {"run_id": str(run_id), "effect": effect}, now)
        row = runs.get_run(connection, run_id)
    _tell(orchestrations, effect, row)
    return Operated(row, effect)


def permitted(action: Action, run: RunRow) -> Effect:
    """What the action comes to now; `Conflict` when it cannot be done."""
    repairs = run.repair_of is not None
    effect = effect_of(action, run.state, run.requested, repairs=repairs)
    if effect is None:
        raise Conflict(refusal(action, run.state, run.requested, repairs=repairs))
    return effect


def _request(asked: Asked) -> IdempotentRequest:
    meaning = canonical_json({"run": str(asked.run_id), "reason": asked.reason})
    digest = hashlib.sha256(meaning.encode()).hexdigest()
    return IdempotentRequest(asked.actor, f"{asked.action}_run", asked.idempotency_key or "", digest)


@dataclass(frozen=True)
class _Doing:
    """An action in its transaction, with the run as it is, locked."""

    connection: Connection
    deployment: Deployment
    asked: Asked
    run: RunRow
    now: datetime

    def nothing(self) -> UUID:
        return self.run.id

    def end(self) -> UUID:
        asked, run = self.asked, self.run
        self._certainly(
            end_run(
                self.connection, run.id, run.execution, RunState.CANCELLED, asked.actor, self.now,
                details=asked.reason,
            )
        )  # fmt: skip
        return run.id

    def ask(self) -> UUID:
        self._certainly(operating.ask(self.connection, self.run, self.asked.action))
        return self._audited(f"run.{self.asked.action}_requested")

    def rouse(self) -> UUID:
        self._certainly(executions.rouse(self.connection, self.run.id, self.now))
        return self._audited("run.resumed")

    def rouse_and_ask(self) -> UUID:
        self._certainly(operating.ask(self.connection, self.run, self.asked.action))
        self._certainly(executions.rouse(self.connection, self.run.id, self.now))
        return self._audited(f"run.{self.asked.action}_requested")

    def withdraw(self) -> UUID:
        self._certainly(operating.ask(self.connection, self.run, None))
        return self._audited(f"run.{self.run.requested}_withdrawn")

    def begin_again(self) -> UUID:
        definition = version_by_id(self.connection, self.run.version_id).definition
        timeout = definition.get("timeout")
        deadline = self.now + parse_duration(timeout) if timeout else None
        self._certainly(operating.begin_again(self.connection, self.run, deadline, self.now))
        tasks = runs.get_tasks(self.connection, self.run.id)
        repeated = [task.step_key for task in tasks if task.state is TaskState.FAILED]
        released = postings.release_rejected(self.connection, self.run.id, repeated, self.now)
        return self._audited("run.retried", execution=self.run.execution + 1, released=released)

    def copy(self) -> UUID:
        old, run_id = self.run, new_id()
        values = {
            "id": run_id,
            "workflow": old.workflow,
            "version_id": old.version_id,
            "environment": self.deployment.environment,
            "inputs": old.inputs,
            "requested_by": self.asked.actor,
            "reason": self.asked.reason,
            "created_at": self.now,
            "replay_of": old.id,
        }
        steps = [(task.step_key, task.verb) for task in runs.get_tasks(self.connection, old.id)]
        runs.insert_run(self.connection, values, steps)
        self._audited("run.replayed", by=str(run_id))
        details = {"workflow": old.workflow, "version": old.version, "replay_of": str(old.id)}
        self._record("run.started", run_id, details)
        return run_id

    def _audited(self, action: str, **details: Any) -> UUID:
        self._record(action, self.run.id, {"reason": self.asked.reason, **details})
        return self.run.id

    def _record(self, action: str, subject: UUID, details: Mapping[str, Any]) -> None:
        audit.record(
            self.connection, stream=audit.run_stream(subject), actor=self.asked.actor, action=action,
            subject=str(subject), details=details, now=self.now,
        )  # fmt: skip

    def _certainly(self, changed: bool) -> None:
        """The row is locked, so that it is as it was read; whoever gets past that must not half succeed."""
        if not changed:
            raise Conflict("The run was changed meanwhile; look at it and decide again.")


_EFFECTS: Mapping[Effect, Callable[[_Doing], UUID]] = MappingProxyType(
    {
        Effect.NOTHING: _Doing.nothing,
        Effect.END: _Doing.end,
        Effect.ASK: _Doing.ask,
        Effect.ROUSE: _Doing.rouse,
        Effect.ROUSE_AND_ASK: _Doing.rouse_and_ask,
        Effect.WITHDRAW: _Doing.withdraw,
        Effect.BEGIN_AGAIN: _Doing.begin_again,
        Effect.COPY: _Doing.copy,
    }
)

_WAKES = (Effect.ASK, Effect.ROUSE, Effect.ROUSE_AND_ASK)
_STARTS = (Effect.BEGIN_AGAIN, Effect.COPY)


def _tell(orchestrations: Orchestrations, effect: Effect, run: RunRow) -> None:
    """Durable execution hears of it at once, if it can; what is committed happens in any case."""
    try:
        if effect in _WAKES and run.state is not RunState.PENDING:
            orchestrations.wake(run.id, run.execution)
        elif effect in _STARTS:
            orchestrations.start(run.id, run.execution, 0)
    except Exception as exc:  # noqa: BLE001 - it is committed; a sweep tells it later
        logger.warning("durable execution: %s", trace_of(exc), extra={"run_id": str(run.id)})
