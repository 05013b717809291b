"""What operators do to runs: cancel, pause, resume, retry from the failed step, replay.

The run row is locked, the table in `workflows.actions` says what the action comes to, and that is done and
audited in the same transaction. Durable execution is told afterwards; if that fails, a sweep does it.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from commands.deployment import Deployment
from commands.orchestrations import Orchestrations, told
from commands.permissions import permit
from kernel.errors import Conflict
from kernel.ids import new_id
from kernel.people import Person
from store import audit, executions, nesting, operating, runs
from store.endings import end_run
from store.idempotency import IdempotentRequest, earlier_result, remember
from store.nested_runs import lock_below
from store.retrying import retry_run
from store.runs import RunRow
from workflows.actions import Action, Effect, effect_of, refusal
from workflows.states import RunState
from workflows.version import canonical_json


@dataclass(frozen=True)
class Asked:
    """What someone wants done with a run, and why. The same `idempotency_key` means the same request."""

    action: Action
    run_id: UUID
    reason: str
    person: Person
    idempotency_key: str | None = None

    @property
    def actor(self) -> str:
        """Whom the audit trail names."""
        return self.person.id


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
    permit(asked.person, f"{asked.action}_run")
    request, now = _request(asked), deployment.clock()
    with deployment.database.transaction(asked.actor) as connection:
        earlier = earlier_result(connection, request) if asked.idempotency_key else None
        if earlier is not None:
            row = runs.get_run(connection, UUID(earlier["run_id"]))
            return Operated(row, Effect(earlier["effect"]), repeated=True)
        run = operating.lock_run(connection, asked.run_id)
        effect = permitted(asked.action, run)
        doing = _Doing(connection, deployment, asked, run, now)
        run_id = _EFFECTS[effect](doing)
        if asked.idempotency_key:
            remember(connection, request, {"run_id": str(run_id), "effect": effect}, now)
        row = runs.get_run(connection, run_id)
    _tell(orchestrations, effect, row)
    for below, execution in doing.woken:
        told(below, lambda: orchestrations.wake(below, execution))  # noqa: B023
    return Operated(row, effect)


def permitted(action: Action, run: RunRow) -> Effect:
    """What the action comes to now; `Conflict` when it cannot be done."""
    repairs = run.repair_of is not None
    effect = effect_of(action, run.state, run.wish, repairs=repairs)
    if effect is None:
        raise Conflict(refusal(action, run.state, run.wish, repairs=repairs))
    return effect


def _request(asked: Asked) -> IdempotentRequest:
    meaning = canonical_json({"run": str(asked.run_id), "reason": asked.reason})
    digest = hashlib.sha256(meaning.encode()).hexdigest()
    return IdempotentRequest(asked.actor, f"{asked.action}_run", asked.idempotency_key or "", digest)


@dataclass(frozen=True)
class _Doing:
    """An action in its transaction, with the run as it is, locked. `woken` are the nested runs that are to
    hear of it, with their executions."""

    connection: Connection
    deployment: Deployment
    asked: Asked
    run: RunRow
    now: datetime
    woken: list[tuple[UUID, int]] = field(default_factory=list)

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
        if self.asked.action is Action.CANCEL:
            self._cancel_below()
        return self._audited(f"run.{self.asked.action}_requested")

    def rouse(self) -> UUID:
        self._certainly(executions.rouse(self.connection, self.run.id, self.now))
        return self._audited("run.resumed")

    def rouse_and_ask(self) -> UUID:
        self._certainly(operating.ask(self.connection, self.run, self.asked.action))
        self._certainly(executions.rouse(self.connection, self.run.id, self.now))
        self._cancel_below()
        return self._audited(f"run.{self.asked.action}_requested")

    def keep(self) -> UUID:
        self._certainly(operating.keep(self.connection, self.run))
        return self._audited("run.paused")

    def withdraw(self) -> UUID:
        self._certainly(operating.ask(self.connection, self.run, None))
        return self._audited(f"run.{self.run.requested}_withdrawn")

    def begin_again(self) -> UUID:
        released = retry_run(self.connection, self.run, self.now)
        self._certainly(released is not None)
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

    def _cancel_below(self) -> None:
        """Ask nested runs to end too; those that nobody has begun end at once. One that is made meanwhile is
        found the next time: whoever makes it holds a lock on the run above it until it can be seen."""
        lock_below(self.connection, self.run.id)
        while asked := nesting.cancel_below(self.connection, self.run.id, self.now):
            for run_id, execution in asked:
                self._cancelled_below(run_id, execution)
            lock_below(self.connection, self.run.id)

    def _cancelled_below(self, run_id: UUID, execution: int) -> None:
        details = {"reason": self.asked.reason, "with": str(self.run.id)}
        self._record("run.cancel_requested", run_id, details)
        if runs.get_run(self.connection, run_id).state is not RunState.PENDING:
            self.woken.append((run_id, execution))
            return
        because = self.asked.reason
        end = partial(end_run, self.connection, run_id, execution, RunState.CANCELLED)
        self._certainly(end(self.asked.actor, self.now, details=because))

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
        Effect.KEEP: _Doing.keep,
        Effect.BEGIN_AGAIN: _Doing.begin_again,
        Effect.COPY: _Doing.copy,
    }
)

_WAKES = (Effect.ASK, Effect.ROUSE, Effect.ROUSE_AND_ASK)
_STARTS = (Effect.BEGIN_AGAIN, Effect.COPY)


def _tell(orchestrations: Orchestrations, effect: Effect, run: RunRow) -> None:
    """Durable execution hears of it at once, if it can; what is committed happens in any case."""
    if effect in _WAKES and run.state is not RunState.PENDING:
        told(run.id, lambda: orchestrations.wake(run.id, run.execution))
    elif effect in _STARTS:
        told(run.id, lambda: orchestrations.start(run.id, run.execution, 0))
