"""Runs work with adapters that earlier runs have used, and notice when these are not fit for it any more."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from activities.adapter_pool import AdapterPool
from adapters.contract import Adapter, Connector
from commands.connectors import save_connector
from store.connectors import get_connector
from store.runs import RunRow
from tests.support.world import ADA, SMALL_LOG, World
from workflows.states import RunState

OTHERS = [(f"9{row[0]}", *row[1:]) for row in SMALL_LOG]
OURS = "FROM pg_stat_activity WHERE application_name = 'sluice' AND datname = current_database()"


class Workshop:
    """A deployment whose adapters are counted when they are made."""

    def __init__(self, world: World) -> None:
        self.made: Counter[str] = Counter()
        self._make = world.services.adapters.make
        self.pool = AdapterPool(self._counted)
        self.world = replace(world, services=replace(world.services, adapters=self.pool))

    def _counted(self, connector: Connector) -> Adapter:
        self.made[connector.key] += 1
        return self._make(connector)

    def post(self, rows: Any = SMALL_LOG) -> RunRow:
        """A run that succeeds without a failed attempt."""
        run = self.world.post(rows)
        assert run.state is RunState.SUCCEEDED, run.failure
        assert {task.attempt for task in self.world.tasks(run.id).values()} == {1}
        return run

    def connections(self) -> set[int]:
        """The ERP's connections to us."""
        with psycopg.connect(self.world.erp_url) as erp:
            return {pid for (pid,) in erp.execute(f"SELECT pid {OURS}")}

    def change_erp(self, **settings: Any) -> None:
        """Save the ERP's connector with other settings."""
        deployment = self.world.deployment
        with deployment.database.reading() as connection:
            row = get_connector(connection, "erp")
        save_connector(deployment, "erp", row.system, {**row.settings, **settings}, row.secrets, ADA)


@pytest.fixture
def workshop(world: World) -> Iterator[Workshop]:
    world.publish()
    made = Workshop(world)
    yield made
    made.pool.close()
    assert made.connections() == set()


def test_runs_share_adapters_and_their_connections(workshop: Workshop) -> None:
    workshop.post()
    before = workshop.connections()
    for _ in range(3):
        workshop.post()
    assert workshop.made == {"erp": 1, "worklog": 1}
    assert len(before) == 1
    assert workshop.connections() == before


def test_a_run_notices_that_its_connection_was_closed_meanwhile(workshop: Workshop) -> None:
    workshop.post()
    with psycopg.connect(workshop.world.erp_url) as erp:
        erp.execute(f"SELECT pg_terminate_backend(pid, 5000) {OURS}")
    workshop.post(OTHERS)
    assert workshop.made["erp"] == 1
    assert len(workshop.world.ledger()) == 4


def test_changed_settings_take_effect_with_the_next_step(workshop: Workshop) -> None:
    workshop.post()
    dearer = {
        "fetch": "SELECT activity, hourly_rate * 2 AS hourly_rate FROM labour_rate",
        "columns": {"activity": "text", "hourly_rate": "decimal(10,2)"},
        "order_by": ["activity"],
    }
    with workshop.world.deployment.database.reading() as connection:
        operations = get_connector(connection, "erp").settings["operations"]
    workshop.change_erp(operations={**operations, "labour_rates": dearer})
    workshop.post(OTHERS)
    amounts = sorted(amount for *_, amount in workshop.world.ledger())
    assert amounts == [Decimal("35.15"), Decimal("70.30"), Decimal("87.20"), Decimal("174.40")]
    assert workshop.made["erp"] == 2
    assert len(workshop.connections()) == 1


def test_a_system_that_failed_is_spoken_to_anew(workshop: Workshop) -> None:
    workshop.post()
    with psycopg.connect(workshop.world.erp_url) as erp:
        erp.execute("REVOKE SELECT ON labour_rate FROM CURRENT_USER")
    run = workshop.world.post(OTHERS)
    assert (run.failure or {})["code"] == "access_forbidden"
    assert workshop.connections() == set()
    with psycopg.connect(workshop.world.erp_url) as erp:
        erp.execute("GRANT SELECT ON labour_rate TO CURRENT_USER")
    workshop.post(OTHERS)
    assert workshop.made["erp"] == 2
