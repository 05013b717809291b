"""The clock jumps by hours, forwards and backwards: between segments, while the step waits, and with doubts
open."""

from collections.abc import Callable
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest

from activities.contract import Next, SegmentInput
from activities.run_segment import run_segment
from tests.faults.books import BATCH, Books
from tests.faults.load import Kind, new_load
from tests.faults.tally import Tally
from tests.support.erp_server.faults import Fault, FaultKind, RetryForm
from tests.support.world import SteppingClock
from workflows.states import RunState

JUMPS = {
    "forwards": [timedelta(hours=6)] * 3,
    "backwards": [timedelta(hours=-6)] * 3,
    "to and fro": [timedelta(hours=5), timedelta(hours=-9), timedelta(days=1), timedelta(days=-2)],
}
LONGEST_WAIT = 60.0
"""Nothing here asks for a longer wait: neither the ERP, nor the policy, nor what has to settle."""


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("name", JUMPS)
def test_jumps(books: Books, kind: Kind, name: str, report: Callable[[Tally], None]) -> None:
    clock = cast(SteppingClock, books.world.services.clock)
    before = clock.ahead
    busy = Fault(FaultKind.BUSY, method="POST", status=503, retry=RetryForm.SECONDS)
    lost = Fault(FaultKind.RESET_AFTER, method="POST")
    passing = Fault(FaultKind.SLOW, method="POST", seconds=0)
    books.erp.faults(busy, passing, lost, passing, busy, lost)
    load = new_load(kind, 6 * BATCH)
    run = books.start(load)
    try:
        injected = _through(books, run.id, clock, JUMPS[name])
    finally:
        clock.ahead = before
    ended = books.world.run(run.id)
    found = books.compare(f"clock {name}, {kind}", load, ended, injected)
    held = 2 * BATCH if kind is Kind.NONE else 0
    assert (ended.state, found.held) == (RunState.FAILED if held else RunState.SUCCEEDED, held), ended.failure
    report(found)


def _through(books: Books, run_id: UUID, clock: SteppingClock, jumps: list[timedelta]) -> int:
    """Execute the run to its end. After each of the first executions the durable timer, which does not care,
    lets it wait and the clock jumps. Returns how often it jumped."""
    for number in range(20):
        outcome = run_segment(books.world.services, SegmentInput(str(run_id), 0))
        if outcome.next is Next.ENDED:
            return min(number, len(jumps))
        assert outcome.wait_seconds <= LONGEST_WAIT
        jump = jumps[number] if number < len(jumps) else timedelta()
        clock.skip(timedelta(seconds=outcome.wait_seconds) + jump)
    raise AssertionError("the run does not get on")
