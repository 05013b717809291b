"""A full disk, played by a quota on the database: nothing is lost, and all goes on once there is room."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from localhost.services.stack import Stack
from tests.faults.deployment import Deployment
from tests.faults.load import Kind, new_load
from tests.faults.tally import Tally, tally
from tests.support.erp_server.faults import Fault, FaultKind
from tests.support.eventually import eventually
from tests.support.services import Database
from workflows.states import RunState

SIZE, BATCH = 60, 5
# The message that PostgreSQL itself has for this state.
_QUOTA = """
CREATE TABLE public.quota (schema_name text PRIMARY KEY, bytes bigint);
CREATE FUNCTION public.check_quota() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE used bigint; allowed bigint;
BEGIN
    SELECT bytes INTO allowed FROM public.quota WHERE schema_name = TG_TABLE_SCHEMA;
    SELECT sum(pg_total_relation_size(c.oid)) INTO used
    FROM pg_class c WHERE c.relnamespace = TG_TABLE_SCHEMA::regnamespace AND c.relkind = 'r';
    IF used > allowed THEN
        RAISE EXCEPTION 'could not extend file "base/1/1": No space left on device' USING ERRCODE = '53100';
    END IF;
    RETURN NULL;
END $$;
"""
_TRIGGERS = """
SELECT format('CREATE TRIGGER quota BEFORE INSERT OR UPDATE ON %%I.%%I EXECUTE FUNCTION public.check_quota()',
              schemaname, tablename)
FROM pg_tables WHERE schemaname = %s
"""


class Disk:
    """The disk under one schema of a database."""

    def __init__(self, connection: psycopg.Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        connection.execute(_QUOTA)
        for (statement,) in connection.execute(_TRIGGERS, [schema]).fetchall():
            connection.execute(statement)
        self.free()

    @contextmanager
    def full(self) -> Iterator[None]:
        """No byte more than there is."""
        self._allow(0)
        try:
            yield
        finally:
            self.free()

    def free(self) -> None:
        """Room again."""
        self._allow(1 << 40)

    def _allow(self, size: int) -> None:
        self._connection.execute(
            "INSERT INTO public.quota VALUES (%s, %s)"
            " ON CONFLICT (schema_name) DO UPDATE SET bytes = excluded.bytes",
            [self._schema, size],
        )


@pytest.mark.timeout(300)
def test_a_full_disk(
    services: Stack, migrated: Database, deployment: Deployment, report: Callable[[Tally], None]
) -> None:
    deployment.register(batch_size=BATCH, timeout=1)
    deployment.erp.faults(Fault(FaultKind.SLOW, method="POST", probability=1.0, seconds=0.1))
    with (
        services.postgres.connect(migrated.name) as ours,
        services.postgres.connect(f"{migrated.name}_hub") as hub,
    ):
        disks = Disk(ours, "sluice"), Disk(hub, "taskhub")
        runs = {deployment.start(load): load for load in [new_load(kind, SIZE) for kind in Kind]}
        _wait_posted(deployment, list(runs), 2 * BATCH)
        with disks[0].full():
            _our_own_is_full(deployment)
        _wait_posted(deployment, list(runs), 6 * BATCH)
        with disks[1].full():
            _the_hubs_is_full(deployment)
        deployment.up()
        for run_id, load in runs.items():
            state = deployment.wait_end(run_id)
            one = tally(
                f"disk full / {load.kind}", 2, load, state, deployment.erp.ledger(), deployment.postings()
            )
            assert state is (RunState.FAILED if one.held else RunState.SUCCEEDED), deployment.failure(run_id)
            assert one.held <= (2 * BATCH if load.kind is Kind.NONE else 0)
            report(one)


def _wait_posted(deployment: Deployment, runs: list[str], records: int) -> None:
    def posted() -> bool:
        return all(deployment.confirmed(run_id) >= records for run_id in runs)

    eventually(posted, within=60, what=f"every run has posted {records} records")


def _our_own_is_full(deployment: Deployment) -> None:
    """The host lives on: activities are repeated until there is room."""
    assert deployment.host is not None
    deployment.host.logged("does not answer")
    assert not deployment.ended()


def _the_hubs_is_full(deployment: Deployment) -> None:
    """The host ends and says why; so does the next one, while there is no room."""
    assert deployment.host is not None
    host = deployment.host
    eventually(deployment.ended, within=60, what="the host ends")
    assert "could not write its journal" in host.log()
    assert "No space left on device" in host.log()
    deployment.launch()
    host = deployment.host
    eventually(deployment.ended, within=60, what="the next host ends")
    assert host.process.returncode == 1
    assert "No space left on device" in host.log()
