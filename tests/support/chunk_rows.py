"""Chunks put into the database as they might be at one moment, without anybody working on them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg

from kernel.ids import new_id
from store.runs import RunRow
from tests.support.world import World
from workflows.states import TaskState

ENDED = (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED)


@dataclass(frozen=True)
class Made:
    """One chunk: its state, how long ago it began and ended, in how long it wakes, and its business key."""

    state: TaskState = TaskState.PENDING
    began: timedelta | None = None
    ended: timedelta | None = None
    wakes: timedelta | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)


def add_chunks(world: World, run: RunRow, chunks: Sequence[Made], step: str = "each") -> None:
    """Chunks of a dispatch behind those that it has."""
    now = world.deployment.clock()

    def ago(time: timedelta | None) -> Any:
        return None if time is None else now - time

    with psycopg.connect(world.owner_url) as owner, owner.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM sluice.chunk_run WHERE run_id = %s AND step_key = %s", [run.id, step]
        )
        ((first,),) = cursor.fetchall()
        columns = "id, run_id, step_key, number, key_digest, shown, state, execution, page"
        with cursor.copy(
            f"COPY sluice.chunk_run ({columns}, started_at, finished_at, wake_at) FROM STDIN"
        ) as copy:
            for number, chunk in enumerate(chunks, first):
                shown = json.dumps(chunk.shown or {"number": f"N{number:05}"}, ensure_ascii=False)
                place = (
                    new_id(),
                    run.id,
                    step,
                    number,
                    f"{number}",
                    shown,
                    chunk.state.value,
                    0,
                    number // 50,
                )
                wakes = None if chunk.wakes is None else now + chunk.wakes
                copy.write_row((*place, ago(chunk.began), ago(chunk.ended), wakes))


def set_task(world: World, run: RunRow, state: str, *, planned: bool, step: str = "each") -> None:
    """The dispatch's task is in a state, and so is the run unless it has ended."""
    with psycopg.connect(world.owner_url) as owner:
        owner.execute(
            "UPDATE sluice.task_run SET state = %s, planning = %s, started_at = now()"
            " WHERE run_id = %s AND step_key = %s AND chunk_id IS NULL",
            [state, json.dumps({"complete": planned, "execution": 0}), run.id, step],
        )
        if state in ("RUNNING", "SUSPENDED"):
            owner.execute("UPDATE sluice.workflow_run SET state = %s WHERE id = %s", [state, run.id])
