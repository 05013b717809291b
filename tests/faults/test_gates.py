"""Runs of a real host whose connector lets one step work with it at a time."""

from tests.faults.deployment import Deployment
from tests.faults.load import Kind, new_load
from tests.faults.tally import tally
from tests.support.erp_server.faults import Fault, FaultKind
from tests.support.eventually import eventually
from workflows.states import RunState

SIZE, BATCH = 12, 4


def slow(deployment: Deployment, seconds: float) -> None:
    """Every call of the ERP takes so long, and those that are under way at once are counted anew."""
    deployment.erp.faults(Fault(FaultKind.SLOW, times=10_000, seconds=seconds))
    deployment.erp.control(most_at_once=0)


def codes(deployment: Deployment, run_id: str) -> list[str]:
    """What went wrong with the attempts at the write."""
    query = "SELECT attempts FROM sluice.task_run WHERE run_id = %s AND verb = 'push'"
    return [one["code"] for one in deployment.sql(query, run_id)[0][0]]


def test_two_runs_never_call_at_once(deployment: Deployment) -> None:
    deployment.register(batch_size=BATCH, attempts=1, concurrency=1)
    slow(deployment, 0.5)
    loads = [new_load(Kind.NATIVE, SIZE) for _ in range(2)]
    runs = [deployment.start(load) for load in loads]
    states = [deployment.wait_end(run_id) for run_id in runs]
    assert states == [RunState.SUCCEEDED] * 2, [deployment.failure(run_id) for run_id in runs]
    assert deployment.erp.state()["most_at_once"] == 1
    assert sorted(codes(deployment, run_id) for run_id in runs) == [[], ["busy"]], "one had to wait"


def test_without_a_limit_they_do(deployment: Deployment) -> None:
    deployment.register(batch_size=BATCH, attempts=1)
    slow(deployment, 1)
    for run_id in [deployment.start(new_load(Kind.NATIVE, SIZE)) for _ in range(2)]:
        assert deployment.wait_end(run_id) is RunState.SUCCEEDED
    assert deployment.erp.state()["most_at_once"] == 2


def test_after_a_kill_the_slot_is_free_again_and_every_record_is_posted_once(deployment: Deployment) -> None:
    deployment.close()
    deployment.settings = {"SLUICE_GATE_LEASE": "4s"}
    deployment.up()
    deployment.register(batch_size=BATCH, attempts=1, concurrency=1)
    slow(deployment, 1)
    load = new_load(Kind.NATIVE, SIZE)
    run_id = deployment.start(load)
    eventually(lambda: deployment.confirmed(run_id) > 0, within=30, what="the first batch is posted")
    deployment.kill()
    deployment.up()
    assert deployment.wait_end(run_id) is RunState.SUCCEEDED, deployment.failure(run_id)
    assert set(codes(deployment, run_id)) <= {"busy"}, "unless the new host was slow"
    ledger, postings = deployment.erp.ledger(), deployment.postings()
    tally("killed inside a gate", 1, load, RunState.SUCCEEDED, ledger, postings).check()
