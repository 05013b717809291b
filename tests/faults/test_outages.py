"""PostgreSQL and Azurite go away while runs post: restarted in the worst way, or gone for a while."""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from kernel.secrets import Secret
from localhost.demo.client import RequestRefused
from localhost.services import daemon, databases
from localhost.services.stack import Stack
from store.migrate import upgrade
from tests.faults.deployment import Deployment, Places
from tests.faults.load import LINES, Kind, Load, new_load
from tests.faults.tally import Tally, tally
from tests.support.erp_server.client import ErpServer
from tests.support.erp_server.faults import Fault, FaultKind
from tests.support.eventually import eventually
from tests.support.services import PROJECT, place_for_data
from workflows.states import RunState

KINDS = tuple(Kind)
SIZE, BATCH, LATENCY = 80, 5, 0.05
TIMEOUT = 1

TWICE = (
    f"workflow: post-twice{LINES}"
    + """\
    retry: {attempts: 20, first: 1s, factor: 2, max: 4s, jitter: 0}
  - key: costs
    transform: {sql: "SELECT project, work_date, amount FROM lines ORDER BY project"}
  - key: post
    push: {connector: books, operation: keyed_batch, records: costs, key: [project]}
  - key: again
    transform: {sql: "SELECT project, work_date, amount FROM costs ORDER BY project"}
  - key: post_again
    push: {connector: books, operation: sink_batch, records: again, key: [project]}
"""
)


@dataclass
class Frail:
    """PostgreSQL and Azurite that may go away."""

    folder: Path
    stack: Stack

    def stop_postgres(self) -> None:
        """What `pg_ctl stop -m immediate` does: no checkpoint, no goodbye."""
        pid = (self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]
        daemon.end(psutil.Process(int(pid)), signal.SIGQUIT)

    def start_postgres(self) -> None:
        """Have it running again, in the same place."""
        self.stack.postgres.start(lambda _text: None)

    def restart_postgres(self) -> None:
        """What `pg_ctl restart -m immediate` does."""
        self.stop_postgres()
        self.start_postgres()

    def stop_azurite(self) -> None:
        """End it in order: killed, it would forget its last seconds, which no real storage does."""
        self.stack.azurite.stop()

    def start_azurite(self) -> None:
        """Have it running again, in the same place."""
        self.stack.azurite.start(lambda _text: None)


@pytest.fixture(scope="module")
def frail() -> Iterator[Frail]:
    """Services of this module alone."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-faults-", dir=place_for_data()))
    # PostgreSQL may run as another account, which has to pass through this folder.
    folder.chmod(0o755)
    stack = Stack(PROJECT, folder)
    try:
        upgrade(Secret(stack.start().migration_url), databases.APP)
        yield Frail(folder, stack)
    finally:
        stack.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def deployed(frail: Frail, folder: Path, erp: ErpServer, hub_url: str = "") -> Iterator[Deployment]:
    """A deployment on the frail services. Its hub is there too, unless `hub_url` says otherwise."""
    ends = frail.stack.endpoints
    storage, hub = ends.storage_connection_string, hub_url or ends.hub_url
    made = Deployment(Places(ends.database_url, ends.migration_url, storage, hub), folder, erp)
    try:
        made.up()
        made.register(batch_size=BATCH, timeout=TIMEOUT)
        late = Fault(FaultKind.LATE, method="POST", probability=0.5, seconds=LATENCY, seed=1)
        erp.faults(late, Fault(FaultKind.SLOW, method="POST", probability=1.0, seconds=LATENCY))
        yield made
    finally:
        made.close()


def started(deployment: Deployment) -> dict[str, Load]:
    """Runs of each kind that have begun to post."""
    loads = [new_load(kind, SIZE) for kind in KINDS]
    runs = {deployment.start(load): load for load in loads}
    wait_more(deployment, runs)
    return runs


def wait_more(deployment: Deployment, runs: Iterable[str]) -> float:
    """Wait until each run has posted some more, or has ended; when that was."""
    enough = {run_id: deployment.confirmed(run_id) + 2 * BATCH for run_id in runs}

    def posted() -> bool:
        return all(
            deployment.confirmed(run_id) >= count or deployment.is_over(run_id)
            for run_id, count in enough.items()
        )

    eventually(posted, within=90, what="every run posts more")
    return time.monotonic()


def settle(
    fault: str, recoveries: Sequence[float], deployment: Deployment, runs: Mapping[str, Load],
    report: Callable[[Tally], None],
) -> None:  # fmt: skip
    """Wait for the ends of the runs and compare the books."""
    for run_id, load in runs.items():
        state = deployment.wait_end(run_id, within=180)
        name = f"{fault} / {load.kind}"
        states = deployment.postings()
        one = tally(name, len(recoveries), load, state, deployment.erp.ledger(), states, recoveries)
        assert state is (RunState.FAILED if one.held else RunState.SUCCEEDED), deployment.failure(run_id)
        assert one.held <= (BATCH * len(recoveries) if load.kind is Kind.NONE else 0)
        report(one)


@pytest.mark.timeout(600)
def test_postgresql_stays_away(
    frail: Frail, hub_url: str, erp: ErpServer, tmp_path: Path, outage: float, report: Callable[[Tally], None]
) -> None:
    """The hub is elsewhere, as on Azure: the host lives on, and activities are repeated."""
    with deployed(frail, tmp_path, erp, hub_url) as deployment:
        runs = started(deployment)
        began = time.monotonic()
        frail.stop_postgres()
        time.sleep(outage)
        frail.start_postgres()
        recoveries = [wait_more(deployment, runs) - began]
        settle("PostgreSQL away", recoveries, deployment, runs, report)
        assert deployment.lives == 1


@pytest.mark.timeout(600)
def test_postgresql_of_the_task_hub_restarts(
    frail: Frail, erp: ErpServer, tmp_path: Path, report: Callable[[Tally], None]
) -> None:
    """A host that has lost its hub ends and says so; the next one goes on."""
    with deployed(frail, tmp_path, erp) as deployment:
        runs = started(deployment)
        began = time.monotonic()
        frail.restart_postgres()
        assert deployment.host is not None
        host = deployment.host
        eventually(deployment.ended, within=40, what="the host ends")
        assert "lost its database connection and with it the hub" in host.log()
        deployment.up()
        recoveries = [wait_more(deployment, runs) - began]
        settle("PostgreSQL and hub away", recoveries, deployment, runs, report)


@pytest.mark.timeout(600)
def test_azurite_goes_away_between_two_writes(
    frail: Frail, hub_url: str, erp: ErpServer, tmp_path: Path, outage: float, report: Callable[[Tally], None]
) -> None:
    """The records have to cross to the second write while nothing can be stored."""
    with deployed(frail, tmp_path, erp, hub_url) as deployment:
        assert deployment.api is not None
        deployment.api.publish(TWICE)
        first = new_load(Kind.NATIVE, SIZE)
        run_id = deployment.start(first, "post-twice")
        wait_more(deployment, [run_id])
        frail.stop_azurite()
        began = time.monotonic()
        with pytest.raises(RequestRefused, match="Storage"):
            deployment.start(new_load(Kind.NATIVE, 1))
        time.sleep(max(0, began + outage - time.monotonic()))
        eventually(lambda: deployment.confirmed(run_id) >= SIZE, within=60, what="the first write is done")
        assert not deployment.is_over(run_id)
        frail.start_azurite()
        recoveries = [wait_more(deployment, [run_id]) - began]
        second = replace(first, kind=Kind.NONE)
        settle("Azurite away", recoveries, deployment, {run_id: first}, report)
        settle("Azurite away", recoveries, deployment, {run_id: second}, report)
