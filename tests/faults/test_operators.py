"""Operators act while the host is killed: what they have asked for is done, and nothing else."""

from collections.abc import Callable

import pytest

from tests.faults.deployment import Deployment
from tests.faults.load import Kind, Load, new_load
from tests.faults.tally import Tally, tally
from tests.support.erp_server.faults import Fault, FaultKind
from tests.support.eventually import eventually
from workflows.states import RunState

SIZE, BATCH = 80, 5
SLOW = Fault(FaultKind.SLOW, method="POST", probability=1.0, seconds=0.1)


def started(deployment: Deployment) -> dict[str, Load]:
    """A run of each kind."""
    return {deployment.start(load): load for load in [new_load(kind, SIZE) for kind in Kind]}


@pytest.mark.timeout(300)
def test_cancel_and_retry_under_kills(deployment: Deployment, report: Callable[[Tally], None]) -> None:
    """Some runs are cancelled; others have failed with a lost answer and are retried. The host dies before
    or after it has obeyed: what was sent counts, the rest is held or posted."""
    deployment.register(batch_size=BATCH, timeout=1, attempts=1)
    for kind in Kind:
        passing = Fault(FaultKind.SLOW, kind.resource, "POST", times=2, seconds=0)
        deployment.erp.faults(passing, Fault(FaultKind.RESET_AFTER, kind.resource, "POST"))
    deployment.erp.faults(SLOW)
    failed = started(deployment)
    for run_id in failed:
        assert deployment.wait_end(run_id) is RunState.FAILED
    cancelled = started(deployment)
    posted = lambda: all(deployment.confirmed(run_id) >= BATCH for run_id in cancelled)  # noqa: E731
    eventually(posted, within=60, what="every run posts")
    for action, runs in (("retry", failed), ("cancel", cancelled)):
        for run_id in runs:
            deployment.ask(action, run_id)
    deployment.kill()
    deployment.up()
    for run_id, load in (failed | cancelled).items():
        name = "cancelled" if run_id in cancelled else "retried"
        state = deployment.wait_end(run_id)
        lines, states = deployment.erp.ledger(), deployment.postings()
        one = tally(f"{name} and killed / {load.kind}", 1, load, state, lines, states)
        if run_id in cancelled:
            assert state is RunState.CANCELLED
        else:
            assert state is (RunState.FAILED if one.held else RunState.SUCCEEDED), deployment.failure(run_id)
            # A look-up has to wait until the killed call has settled, and there is no attempt left for that.
            assert one.held <= (0 if load.kind is Kind.NATIVE else 2 * BATCH)
        report(one)
