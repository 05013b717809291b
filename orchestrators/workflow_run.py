"""The orchestrator of one run: segment after segment. Deterministic: ids, counts and enum values only."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from durabletask.task import OrchestrationContext, RetryPolicy

from activities.contract import RUN_SEGMENT, Next, Outcome, SegmentInput

# Our own database or storage did not answer: nothing could be recorded, so the activity itself is repeated,
# for most of a day: an outage must not end runs.
_INFRASTRUCTURE = RetryPolicy(
    first_retry_interval=timedelta(seconds=2),
    max_number_of_attempts=1_000,
    backoff_coefficient=2.0,
    max_retry_interval=timedelta(minutes=1),
)


def workflow_run(context: OrchestrationContext, given: dict[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
    """Run the segments of the run named in `given` until it has ended; returns its state."""
    segment = 0
    while True:
        asked = SegmentInput(str(given["run_id"]), segment)
        answer = yield context.call_activity(
            RUN_SEGMENT, input=asked.to_dict(), retry_policy=_INFRASTRUCTURE, return_type=dict
        )
        outcome = Outcome.from_dict(answer)
        if outcome.next is Next.REFUSED:
            raise RuntimeError(f"There is no run {given['run_id']}: nothing was executed.")
        if outcome.next is Next.ENDED:
            return {"state": outcome.state}
        if outcome.next is Next.RETRY:
            yield context.create_timer(timedelta(seconds=outcome.wait_seconds))
        segment = outcome.segment
