"""The orchestrator of one run: segment after segment. Deterministic: ids, counts and enum values only."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from durabletask.task import OrchestrationContext, RetryPolicy, when_any

from activities.contract import RUN_SEGMENT, Next, Outcome, SegmentInput
from orchestrators.names import UNWAKEABLE_VERSIONS, WAKE

# Our own database or storage did not answer: nothing could be recorded, so the activity itself is repeated,
# for most of a day: an outage must not end runs.
_INFRASTRUCTURE = RetryPolicy(
    first_retry_interval=timedelta(seconds=2),
    max_number_of_attempts=1_000,
    backoff_coefficient=2.0,
    max_retry_interval=timedelta(minutes=1),
)


def workflow_run(context: OrchestrationContext, given: dict[str, Any]) -> Generator[Any, Any, dict[str, Any]]:
    """Run the segments of the run named in `given` until it has ended; returns its state.

    `execution` and `segment` say which of the run's executions this is and where it begins.
    """
    segment, execution = int(given.get("segment", 0)), int(given.get("execution", 0))
    while True:
        asked = SegmentInput(str(given["run_id"]), segment, execution)
        answer = yield context.call_activity(
            RUN_SEGMENT, input=asked.to_dict(), retry_policy=_INFRASTRUCTURE, return_type=dict
        )
        outcome = Outcome.from_dict(answer)
        if outcome.next is Next.REFUSED:
            raise RuntimeError(f"There is no run {given['run_id']}: nothing was executed.")
        if outcome.next is Next.ENDED:
            return {"state": outcome.state}
        if outcome.next in (Next.RETRY, Next.SUSPENDED):
            yield from _wait(context, outcome.wait_seconds)
        segment = outcome.segment


def _wait(context: OrchestrationContext, seconds: float) -> Generator[Any, Any]:
    """Wait so long or until woken; 0 is as long as it takes. The one that lost is cancelled."""
    if context.version in UNWAKEABLE_VERSIONS:
        yield context.create_timer(timedelta(seconds=seconds))
        return
    woken = context.wait_for_external_event(WAKE)
    if not seconds:
        yield woken
        return
    timer = context.create_timer(timedelta(seconds=seconds))
    first = yield when_any([woken, timer])
    (timer if first is woken else woken).cancel()
