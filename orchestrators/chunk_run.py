"""The orchestrator of one chunk, or of a batch of chunks. Deterministic: ids, counts and enum values only."""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from durabletask.task import OrchestrationContext, TaskFailedError

from activities.contract import RUN_CHUNKS, ChunksInput, ChunksOutcome, Then
from orchestrators.children import start_child
from orchestrators.retrying import INFRASTRUCTURE


def chunk_run(context: OrchestrationContext, given: dict[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
    """Work on chunks until they have ended, or are left for a later round; returns whether it was stopped."""
    stopped = yield from _work(context, ChunksInput.from_dict(given))
    return {"stopped": stopped}


def _work(context: OrchestrationContext, asked: ChunksInput) -> Generator[Any, Any, bool]:
    while True:
        answer = yield context.call_activity(
            RUN_CHUNKS, input=asked.to_dict(), retry_policy=INFRASTRUCTURE, return_type=dict
        )
        outcome = ChunksOutcome.from_dict(answer)
        if outcome.then in (Then.DONE, Then.STOPPED):
            return outcome.then is Then.STOPPED
        if outcome.then is Then.ALONE:
            return (yield from _alone(context, asked, outcome))
        if outcome.then is Then.NESTED:
            with suppress(TaskFailedError):  # PostgreSQL says what became of it
                yield start_child(context, outcome.child, outcome.child_execution)
        else:
            yield context.create_timer(timedelta(seconds=outcome.wait_seconds))
            asked = replace(asked, positions=outcome.positions)


def _alone(
    context: OrchestrationContext, asked: ChunksInput, outcome: ChunksOutcome
) -> Generator[Any, Any, bool]:
    """One after the other, so that only the one that kills its worker suffers for it."""
    for position in outcome.positions:
        stopped = yield from _work(context, replace(asked, positions=(position,), alone=True))
        if stopped:
            return True
    return False
