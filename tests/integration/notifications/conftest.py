"""One database for all tests of the outbox: each has approvals of its own."""

from collections.abc import Iterator
from functools import partial
from uuid import UUID

import pytest

from activities.adapter_pool import AdapterPool
from activities.services import Services
from adapters.registry import get_adapter
from kernel.clock import utc_now
from kernel.secrets import Secret
from localhost.services.stack import Stack
from store.blobs import Blobs
from store.contexts import ContextStore
from store.database import Database
from store.envelope import Envelope
from store.gates import Gates
from tests.support.adapters import Vault
from tests.support.outbox import Outbox, insert_run
from tests.support.services import Database as TestDatabase
from tests.support.services import fresh_database
from workflows.sql import SqlEngine


@pytest.fixture(scope="package")
def held(services: Stack, template: str) -> Iterator[tuple[TestDatabase, Services, UUID]]:
    """A migrated database, services on it, and a run."""
    storage = Secret(services.endpoints.storage_connection_string)
    with fresh_database(services, template=template) as made:
        database, envelope = Database(Secret(made.app_url)), Envelope(b"k" * 32)
        blobs = Blobs(storage)
        adapters = AdapterPool(partial(get_adapter, environment="sandbox", credentials=Vault({})))
        yield made, Services(
            database, blobs, ContextStore(blobs, envelope), envelope, SqlEngine(), adapters, utc_now,
            "sandbox", Gates(storage),
        ), insert_run(database)  # fmt: skip
        adapters.close()
        database.close()


@pytest.fixture
def outbox(held: tuple[TestDatabase, Services, UUID]) -> Iterator[Outbox]:
    """An outbox with nothing in it."""
    made, services, run_id = held
    box = Outbox(services, made.owner_url, run_id)
    yield box
    box.execute("TRUNCATE sluice.notification, sluice.approval CASCADE")
