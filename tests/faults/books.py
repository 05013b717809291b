"""The engine on real services, without a host: waits take no time, and its two ledgers can be compared."""

from collections.abc import Mapping
from dataclasses import dataclass

from commands.connectors import save_connector
from store.runs import RunRow
from tests.faults.load import CONNECTOR, Kind, Load, connector, new_load
from tests.faults.tally import Tally, tally
from tests.support.erp_server.client import ErpServer
from tests.support.world import ADA, World
from workflows.states import PostingState

BATCH = 3
TIMEOUT = 0.4


@dataclass
class Books:
    """A world and the ERP that it posts to."""

    world: World
    erp: ErpServer

    def register(self, *, attempts: int = 20, factor: int = 2, timeout: float = TIMEOUT) -> None:
        """Connector and workflows, with so many attempts."""
        given = connector(self.erp.url, batch_size=BATCH, timeout=timeout)
        save_connector(
            self.world.deployment, CONNECTOR, given["system"], given["settings"], given["secrets"], ADA
        )
        for kind in Kind:
            self.world.publish(kind.definition(attempts, factor))

    def start(self, load: Load) -> RunRow:
        """Commit a run of the load; nothing executes it yet."""
        return self.world.start(load.kind.workflow, file=self.world.upload(load.csv()))

    def post(self, kind: Kind, size: int = 8 * BATCH) -> tuple[Load, RunRow]:
        """A load and its run, which has ended."""
        load = new_load(kind, size)
        return load, self.world.finish(self.start(load))

    def postings(self) -> Mapping[str, PostingState]:
        """The posting ledger by idempotency key."""
        rows = self.world.sql("SELECT idempotency_key, state FROM sluice.posting")
        return {key: PostingState(state) for key, state in rows}

    def compare(self, fault: str, load: Load, run: RunRow, injected: int) -> Tally:
        """The books on a load whose run has ended."""
        state = self.world.run(run.id).state
        return tally(fault, injected, load, state, self.erp.ledger(), self.postings())
