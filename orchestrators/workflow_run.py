"""The orchestrator of one run: segment after segment. Deterministic: ids, counts and enum values only."""

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from durabletask.task import OrchestrationContext, TaskFailedError, when_any

from activities.contract import NOTIFY, RUN_SEGMENT, ChunksInput, Next, Outcome, Pages, SegmentInput
from orchestrators.children import start_child
from orchestrators.names import DEAF_VERSIONS, DISPATCH_PAGE, UNWAKEABLE_VERSIONS, WAKE, approval_event
from orchestrators.retrying import INFRASTRUCTURE
from orchestrators.window import Call, Window

PAGES_A_TURN = 500
"""After so many pages the orchestration goes on with a new history."""


def workflow_run(
    context: OrchestrationContext, given: dict[str, Any]
) -> Generator[Any, Any, dict[str, Any] | None]:
    """Run the segments of the run named in `given` until it has ended; returns its state.

    `execution` and `segment` say which of the run's executions this is and where it begins.
    """
    run_id, execution = str(given["run_id"]), int(given.get("execution", 0))
    asked = SegmentInput(run_id, int(given.get("segment", 0)), execution)
    outcome = yield from _segment(context, asked)
    while outcome.next is not Next.ENDED:
        if outcome.next is Next.REFUSED:
            raise RuntimeError(f"There is no run {run_id}: nothing was executed.")
        if outcome.pages is not None:
            outcome = yield from _dispatch(context, asked, outcome.pages)
            if outcome.next is Next.DISPATCH:
                _with_new_history(context, asked)
                return None
            continue
        if outcome.next is Next.NESTED:
            outcome = yield from _nested(context, asked, outcome)
            continue
        if outcome.approvals and context.version not in DEAF_VERSIONS:
            yield from _await_people(context, asked, outcome)
        elif outcome.next in (Next.RETRY, Next.SUSPENDED):
            yield from _wait(context, outcome.wait_seconds)
        asked = replace(asked, segment=outcome.segment)
        outcome = yield from _segment(context, asked)
    return {"state": outcome.state}


def _segment(context: OrchestrationContext, asked: SegmentInput) -> Generator[Any, Any, Outcome]:
    answer = yield context.call_activity(
        RUN_SEGMENT, input=asked.to_dict(), retry_policy=INFRASTRUCTURE, return_type=dict
    )
    return Outcome.from_dict(answer)


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


def _await_people(
    context: OrchestrationContext, asked: SegmentInput, outcome: Outcome
) -> Generator[Any, Any]:
    """Have those told who are to decide, and wait for them, or until something is due. Whoever tells them may
    fail: a timer does it later. All waits that lost are cancelled."""
    with suppress(TaskFailedError):
        yield context.call_activity(NOTIFY, input={"run_id": asked.run_id}, return_type=dict)
    waits: list[Any] = [context.wait_for_external_event(approval_event(one)) for one in outcome.approvals]
    waits.append(context.wait_for_external_event(WAKE))
    if outcome.wait_seconds:
        waits.append(context.create_timer(timedelta(seconds=outcome.wait_seconds)))
    first = yield when_any(waits)
    for one in waits:
        if one is not first:
            one.cancel()


def _with_new_history(context: OrchestrationContext, asked: SegmentInput) -> None:
    given = {"run_id": asked.run_id, "execution": asked.execution, "segment": asked.segment}
    context.continue_as_new(given, save_events=True)


def _dispatch(
    context: OrchestrationContext, asked: SegmentInput, pages: Pages
) -> Generator[Any, Any, Outcome]:
    """Run pages of chunks, then ask what is next. Who wakes the run meanwhile is heard at once; unless the
    run has ended by that, the pages that run are waited for."""
    width = -(-pages.concurrency * pages.batch // pages.size)
    window = Window(_page_calls(context, asked, pages), width)
    while True:
        woken = context.wait_for_external_event(WAKE)
        yield from window.run(woken)
        if not woken.is_complete:
            woken.cancel()
            break
        outcome = yield from _segment(context, asked)
        if outcome.next is Next.ENDED:
            return outcome
        window.stopped = window.stopped or outcome.pages is None
    return (yield from _segment(context, asked))


def _nested(
    context: OrchestrationContext, asked: SegmentInput, outcome: Outcome
) -> Generator[Any, Any, Outcome]:
    """Run a nested run, then ask what is next; also when woken, and when the orchestration of that run is
    lost: what became of it says PostgreSQL."""
    ended = start_child(context, outcome.child, outcome.child_execution)
    while not ended.is_complete:
        woken = context.wait_for_external_event(WAKE)
        with suppress(TaskFailedError):
            yield when_any([ended, woken])
        if not woken.is_complete:
            woken.cancel()
            break
        outcome = yield from _segment(context, asked)
        if outcome.next is not Next.NESTED:
            return outcome
    return (yield from _segment(context, asked))


def _page_calls(context: OrchestrationContext, asked: SegmentInput, pages: Pages) -> Iterator[Call]:
    units = -(-pages.size // pages.batch)
    shape = {"chunks": pages.size, "batch": pages.batch, "width": min(pages.concurrency, units)}
    for number in range(pages.first, min(pages.last, pages.first + PAGES_A_TURN - 1) + 1):
        page = ChunksInput(asked.run_id, asked.execution, pages.execution, pages.step, number, 0, pages.size)
        given = {"page": page.to_dict(), **shape}
        yield partial(context.call_sub_orchestrator, DISPATCH_PAGE, input=given, return_type=dict)
