"""Operators reach runs that wait, through durable execution on a real host: at once, not by a sweep."""

import time

import pytest

from tests.faults.deployment import Deployment
from tests.faults.load import Kind, Load, new_load
from tests.support.erp_server.faults import Fault, FaultKind, RetryForm
from tests.support.eventually import eventually
from workflows.states import RunState

SIZE, BATCH, SOON = 40, 5, 20
"""Sweeps wake what was not reached only after a minute."""
SLOW = Fault(FaultKind.SLOW, method="POST", probability=1.0, seconds=0.15)
CLOSED = Fault(FaultKind.BUSY, method="POST", probability=1.0, status=503, retry=RetryForm.HUGE)


def reaches(deployment: Deployment, run_id: str, state: RunState) -> None:
    """Wait until the run is in that state."""
    eventually(lambda: deployment.state(run_id) is state, within=SOON, what=f"{state} of {run_id}")


def paused(deployment: Deployment) -> tuple[str, Load, int]:
    """A run that is paused amid its write, its records, and how many of them are posted."""
    load = new_load(Kind.NATIVE, SIZE)
    deployment.erp.faults(SLOW)
    run_id = deployment.start(load)
    eventually(lambda: deployment.confirmed(run_id) >= BATCH, within=SOON, what="something is posted")
    deployment.ask("pause", run_id)
    reaches(deployment, run_id, RunState.SUSPENDED)
    return run_id, load, deployment.confirmed(run_id)


def posted(deployment: Deployment, load: Load) -> int:
    """How many of the records the ERP itself has; none twice."""
    lines = [line.key for line in deployment.erp.ledger() if line.key in load.keys]
    assert len(lines) == len(set(lines))
    return len(lines)


@pytest.mark.timeout(300)
def test_what_operators_ask_for_happens_at_once(deployment: Deployment) -> None:
    """One host for all of it: starting one takes its time."""
    assert deployment.host is not None
    deployment.register(batch_size=BATCH)
    run_id, load, before = paused(deployment)
    assert 0 < before < SIZE
    client = deployment.host.client
    forecast = client.post(f"/api/runs/{run_id}/resume?forecast=true").json()
    assert forecast["summary"].endswith(f": posts {SIZE - before}, skips {before} confirmed.")
    deployment.ask("resume", run_id)
    reaches(deployment, run_id, RunState.SUCCEEDED)
    assert posted(deployment, load) == SIZE

    run_id, load, before = paused(deployment)
    deployment.ask("cancel", run_id)
    reaches(deployment, run_id, RunState.CANCELLED)
    assert posted(deployment, load) == before
    again = client.post(f"/api/runs/{run_id}/replay", json={"reason": "go on"})
    reaches(deployment, again.json()["id"], RunState.SUCCEEDED)
    assert posted(deployment, load) == SIZE

    deployment.erp.clear_faults()
    deployment.erp.faults(CLOSED)
    load = new_load(Kind.LOOKUP, SIZE)
    run_id, waits = deployment.start(load), "SELECT wake_at FROM sluice.workflow_run WHERE id = %s"
    eventually(lambda: deployment.sql(waits, run_id)[0][0] is not None, within=SOON, what="it waits")
    deployment.ask("cancel", run_id)
    reaches(deployment, run_id, RunState.CANCELLED)
    assert posted(deployment, load) == 0

    deployment.register(batch_size=BATCH, attempts=1)
    run_id = deployment.start(load)
    reaches(deployment, run_id, RunState.FAILED)
    deployment.erp.clear_faults()
    began = time.monotonic()
    deployment.ask("retry", run_id)
    reaches(deployment, run_id, RunState.SUCCEEDED)
    assert (posted(deployment, load), time.monotonic() - began < SOON) == (SIZE, True)

    refused = client.patch(f"/api/runs/{run_id}/retry")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST, OPTIONS")
    options = client.options(f"/api/runs/{run_id}")
    assert (options.status_code, options.headers["Allow"]) == (204, "GET, OPTIONS")
