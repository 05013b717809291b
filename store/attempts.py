"""Attempts at steps that failed, as their tasks keep them."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from store.tables import task_run
from workflows.states import TaskState


@dataclass(frozen=True)
class Attempt:
    """One attempt at a step that failed. `wait_seconds` is how long the next one waits, if there is one.

    What is not `counted` is only waited for; the same thing so many `times` in a row is one attempt.
    """

    execution: int
    number: int
    ended_at: datetime
    code: str
    message: str
    wait_seconds: float | None
    counted: bool = True
    times: int = 1

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**vars(self), "ended_at": self.ended_at.isoformat()}


def record_attempt(connection: Connection, run_id: UUID, step_key: str, attempt: Attempt) -> None:
    """Write down an attempt that failed. If another follows, it counts as begun: a read that had succeeded
    and fails when it is repeated counts too, otherwise it would be tried for ever."""
    mine = (task_run.c.run_id == run_id) & task_run.c.chunk_id.is_(None) & (task_run.c.step_key == step_key)
    begun = task_run.c.state.in_((TaskState.RUNNING, TaskState.SUCCEEDED))
    before = connection.scalar(select(task_run.c.attempts).where(mine, begun).with_for_update())
    if before is not None:
        more = task_run.c.attempt + (1 if attempt.counted and attempt.wait_seconds is not None else 0)
        values = {"attempts": _followed(before, attempt), "attempt": more}
        connection.execute(task_run.update().where(mine, begun).values(values))


def _followed(before: list[dict[str, Any]], attempt: Attempt) -> list[dict[str, Any]]:
    """The attempts with one more. To wait a thousand times is not worth a thousand entries."""
    same = {"execution": attempt.execution, "code": attempt.code, "counted": False}
    if before and not attempt.counted and same.items() <= before[-1].items():
        return [*before[:-1], replace(attempt, times=before[-1]["times"] + 1).to_dict()]
    return [*before, attempt.to_dict()]
