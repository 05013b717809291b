"""The same activity delivered twice, to two threads and to two hosts, and answers that come too late."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from activities.contract import Next, SegmentInput
from activities.run_segment import run_segment
from tests.faults.books import BATCH, Books
from tests.faults.deployment import Deployment
from tests.faults.load import Kind, Load, new_load
from tests.faults.tally import Tally, tally
from tests.support.erp_server.faults import Fault, FaultKind
from tests.support.eventually import eventually
from tests.support.world import drive
from workflows.states import RunState

KINDS = tuple(Kind)
SLOW = Fault(FaultKind.SLOW, method="POST", probability=1.0, seconds=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_two_workers_at_once(books: Books, kind: Kind, report: Callable[[Tally], None]) -> None:
    books.erp.faults(SLOW)
    load = new_load(kind, 8 * BATCH)
    run = books.start(load)
    given = SegmentInput(str(run.id), 0)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: run_segment(books.world.services, given), range(2)))
    ended = books.world.finish(run)
    assert ended.state is RunState.SUCCEEDED, ended.failure
    report(books.compare(f"activity delivered twice, {kind}", load, ended, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_answer_after_the_execution_was_overtaken(
    books: Books, kind: Kind, report: Callable[[Tally], None]
) -> None:
    """The first batch's answer comes when another execution has long done everything."""
    books.register(timeout=5)
    books.erp.faults(Fault(FaultKind.SLOW, method="POST", seconds=2))
    load = new_load(kind, 3 * BATCH)
    run = books.start(load)
    late: list[Next] = []
    given = SegmentInput(str(run.id), 0)
    slow = Thread(target=lambda: late.append(run_segment(books.world.services, given).next))
    slow.start()
    eventually(lambda: len(books.erp.ledger(kind.resource)) > 0 and _has(books, load), what="it is sent")
    books.world.sql("UPDATE sluice.workflow_run SET execution = 1 WHERE id = %s RETURNING 1", [run.id])
    drive(books.world.services, run.id, execution=1)
    assert slow.is_alive(), "the answer came too early for this test"
    ended = books.world.run(run.id)
    slow.join()
    assert late == [Next.ENDED]
    assert books.world.run(run.id).state is ended.state
    assert ended.state is (RunState.FAILED if kind is Kind.NONE else RunState.SUCCEEDED), ended.failure
    report(books.compare(f"late answer, {kind}", load, ended, 1))


def _has(books: Books, load: Load) -> bool:
    return any(line.key in load.keys for line in books.erp.ledger(load.kind.resource))


@pytest.mark.timeout(300)
def test_two_hosts_at_once(deployment: Deployment, tmp_path: Path, report: Callable[[Tally], None]) -> None:
    """Each has a hub of its own, and both are told to execute the same runs. When they take the same records
    from each other, that costs attempts."""
    deployment.register(batch_size=BATCH, timeout=1, attempts=20)
    deployment.erp.faults(SLOW)
    folder = tmp_path / "other"
    folder.mkdir()
    other = replace(deployment, folder=folder, hub="other", host=None, api=None, lives=0)
    try:
        other.up()
        loads = [new_load(kind, 16 * BATCH) for kind in KINDS]
        runs = {deployment.start(load): load for load in loads}
        assert other.host is not None
        for run_id in runs:
            path = f"/runtime/webhooks/durabletask/orchestrators/workflow_run/{run_id}"
            other.host.client.post(path, json={"run_id": run_id}).raise_for_status()
        for run_id, load in runs.items():
            state = deployment.wait_end(run_id)
            assert state is RunState.SUCCEEDED, deployment.failure(run_id)
            lines, states = deployment.erp.ledger(), deployment.postings()
            report(tally(f"two hosts at once / {load.kind}", 1, load, state, lines, states))
    finally:
        other.close()
