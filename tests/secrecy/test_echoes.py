"""Whatever an adapter says comes out clean, wherever it goes; its errors stay what they are."""

import json
from typing import Any, cast

import psycopg
import pytest

from adapters.contract import Adapter
from store.runs import RunRow
from tests.integration.chunks.desk import definition as chunks_definition
from tests.integration.chunks.desk import set_up
from tests.integration.runs.test_segments import CANARY, LOG, definition
from tests.secrecy.careless import Careless, How
from tests.secrecy.places import database_places
from tests.support.world import World, drive


def careless_run(world: World, how: How, rejects: str = "dead_letter") -> RunRow:
    """A run whose adapters say everything they know."""
    world.publish(definition(rejects=rejects))
    run = world.start("two-writes", file=world.upload(LOG))

    def wrap(inner: Adapter) -> Adapter:
        return cast(Adapter, Careless(inner, how))

    drive(world.with_adapter(wrap), run.id)
    return world.run(run.id)


CHUNKS = """
        - key: priced
          transform: {sql: "SELECT secret AS number, amount FROM chunk"}
          sensitive: [number]
        - key: posted
          push: {connector: desk, operation: post, records: priced, key: [number]}
          retry: {attempts: 1}
"""


def password(world: World) -> str:
    """What the ERP's connector signs in with."""
    return str(psycopg.conninfo.conninfo_to_dict(world.erp_url)["password"])


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (How.WHILE_READING, "external"),
        (How.TRANSIENT, "system_unavailable"),
        (How.INVALID, "invalid_data"),
        (How.REQUEST, "invalid_request"),
        (How.CRASH, "internal"),
        (How.REJECTED, "invalid_data"),
    ],
)
def test_a_failure_is_told_without_credentials_and_values(
    world: World, how: How, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = careless_run(world, how, rejects="fail")
    failure: dict[str, Any] = dict(run.failure or {})
    assert failure["code"] == code
    told = json.dumps(failure) + caplog.text
    for hidden in (CANARY, password(world)):
        assert hidden not in told
        assert not [
            place.name for place in database_places(world.owner_url, "") if hidden.encode() in place.data
        ]
    if how is not How.CRASH:
        assert "Login [redacted]" in told
        assert "Careless." in told


def test_reasons_of_postings_and_dead_letters_are_clean(world: World) -> None:
    careless_run(world, How.REJECTED)
    for table in ("posting", "dead_letter"):
        reasons = [reason for (reason,) in world.sql(f"SELECT reason FROM sluice.{table}")]
        assert sum("Login [redacted] failed for" in reason for reason in reasons) == 6
        assert CANARY not in str(reasons)


def test_what_is_not_sensitive_stays(world: World) -> None:
    careless_run(world, How.REJECTED)
    [(reason,)] = world.sql("SELECT reason FROM sluice.posting ORDER BY reason LIMIT 1")
    assert "Invoice" in reason
    assert "1.25" in reason


@pytest.mark.parametrize("how", [How.TRANSIENT, How.INVALID, How.REJECTED])
def test_chunks_that_go_together_are_told_of_without_credentials_and_values(
    world: World, how: How, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(world, [(f"A{number}", "1.00") for number in range(4)])
    world.publish(chunks_definition(CHUNKS, dispatch="      batch: 4"))
    run = world.start("post-orders")

    def wrap(inner: Adapter) -> Adapter:
        return cast(Adapter, Careless(inner, how))

    drive(world.with_adapter(wrap), run.id)
    told = str(world.sql("SELECT failure FROM sluice.chunk_run")) + caplog.text
    told += str(world.sql("SELECT failure, attempts FROM sluice.task_run"))
    told += str(world.sql("SELECT reason FROM sluice.posting"))
    assert told.count("Login [redacted] failed for") >= 4
    for hidden in ("canary-", password(world)):
        assert hidden not in told
