"""One owner at a time; what happens when ownership or the database is lost."""

import asyncio
import itertools
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from localhost.taskhub import schema
from localhost.taskhub.batch import TYPES, Batch, statement
from localhost.taskhub.clients import Clients
from localhost.taskhub.errors import HubLost, HubOwned, HubUnavailable
from localhost.taskhub.hub import TaskHub
from localhost.taskhub.options import HubOptions
from localhost.taskhub.ownership import WRITER_SETTINGS, Ownership, connect
from localhost.taskhub.starts import NewInstance
from tests.support.services import Database

IMPATIENT = HubOptions(takeover_seconds=0.2)


@pytest.fixture
def execute(hub_url: str) -> Callable[[str], Coroutine[Any, Any, list[asyncpg.Record]]]:
    """Runs one statement on a connection of its own."""

    async def run(sql: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(hub_url)
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()

    return run


async def start(hub: TaskHub) -> str:
    """Start an orchestration that nobody runs."""
    return await Clients(hub.core, hub.reader).start(NewInstance(id="", name="idle"), None)


def test_a_second_host_is_told_who_has_the_hub(hub_url: str, hub_name: str) -> None:
    async def scenario() -> None:
        first = await TaskHub.open(hub_url, hub_name)
        with pytest.raises(HubOwned) as refused:
            await TaskHub.open(hub_url, hub_name, options=IMPATIENT)
        other = await TaskHub.open(hub_url, hub_name + "x", options=IMPATIENT)
        await other.close()
        await first.close()
        second = await TaskHub.open(hub_url, hub_name, options=IMPATIENT)
        await second.close()
        text = str(refused.value)
        assert f"process {os.getpid()} on {socket.gethostname()}, since 20" in text
        assert hub_name in text
        assert "hubName" in text

    asyncio.run(scenario())


def test_a_new_owner_waits_for_one_that_is_ending(hub_url: str, hub_name: str) -> None:
    async def scenario() -> None:
        first = await TaskHub.open(hub_url, hub_name)
        opening = asyncio.create_task(
            TaskHub.open(hub_url, hub_name, options=HubOptions(takeover_seconds=10))
        )
        await asyncio.wait([opening], timeout=0.2)
        assert not opening.done()
        await first.close()
        await (await opening).close()

    asyncio.run(scenario())


def test_an_owner_of_an_earlier_epoch_cannot_write(hub_url: str, hub_name: str, execute: Any) -> None:
    async def scenario() -> None:
        hub = await TaskHub.open(hub_url, hub_name)
        kept = await start(hub)
        # As if another process had got the lock while this one was cut off.
        await execute(f"UPDATE taskhub.hub SET epoch = epoch + 1 WHERE name = '{hub_name}'")
        with pytest.raises(HubLost, match="taken over"):
            await start(hub)
        with pytest.raises(HubLost, match="taken over"):
            await hub.lost
        await hub.abandon()
        rows = await execute(
            "SELECT i.id FROM taskhub.instance i JOIN taskhub.hub h ON h.id = i.hub "
            f"WHERE h.name = '{hub_name}'"
        )
        assert [row["id"] for row in rows] == [kept]

    asyncio.run(scenario())


def test_a_failed_batch_leaves_nothing_behind(hub_url: str, hub_name: str, execute: Any) -> None:
    async def scenario() -> None:
        owner = await Ownership.take(hub_url, hub_name, HubOptions())
        batch = Batch(1, messages=[(1, "someone", None, b"")], entities=[("@a@b", None, None, None, None)])
        with pytest.raises(HubLost, match="journal"):
            await owner.commit(batch)  # an entity without a time is impossible
        await owner.release()
        found = await execute(f"SELECT 1 FROM taskhub.message WHERE hub = {owner.hub}")
        assert found == []

    asyncio.run(scenario())


def test_losing_the_database_ends_the_hub(hub_url: str, hub_name: str, execute: Any) -> None:
    async def scenario() -> None:
        hub = await TaskHub.open(hub_url, hub_name)
        await hub.serve()
        waiting = asyncio.create_task(_never(hub))
        await start(hub)
        await execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'taskhub' "
            f"AND pid = {hub.backend_pid}"
        )
        with pytest.raises(HubLost, match="lost its database connection"):
            await asyncio.wait_for(hub.lost, 5)
        with pytest.raises(HubLost):
            await start(hub)
        waiting.cancel()
        # It does not come back by itself: another process may own the hub by now.
        successor = await TaskHub.open(hub_url, hub_name)
        with pytest.raises(HubLost):
            await start(hub)
        await hub.close()
        await successor.close()

    asyncio.run(scenario())


async def _never(hub: TaskHub) -> None:
    await Clients(hub.core, hub.reader).wait(await start(hub), lambda instance: instance.finished)


def test_an_error_of_the_hubs_own_ends_it(hub_url: str, hub_name: str) -> None:
    def probe(point: str) -> None:
        if point == "before commit" and armed:
            raise ZeroDivisionError(point)

    armed: list[bool] = []

    async def scenario() -> None:
        hub = await TaskHub.open(hub_url, hub_name, options=HubOptions(probe=probe))
        await start(hub)
        armed.append(True)
        with pytest.raises(HubLost, match="ZeroDivisionError"):
            await start(hub)
        with pytest.raises(HubLost, match="ZeroDivisionError"):
            await asyncio.wait_for(hub.lost, 5)
        await hub.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("own_thread", [False, True])
def test_no_database_is_said_without_the_password(own_thread: bool, hub_name: str) -> None:
    url = "postgresql://someone:geheim@127.0.0.1:1/nowhere"
    with pytest.raises(HubUnavailable, match="cannot be reached") as refused:
        asyncio.run(TaskHub.open(url, hub_name, options=replace(IMPATIENT, own_thread=own_thread)))
    assert "geheim" not in str(refused.value)


def test_the_schema_is_made_once_and_checked(hub_url: str, execute: Any) -> None:
    async def scenario() -> None:
        connections = [await asyncpg.connect(hub_url) for _ in range(4)]
        try:
            await connections[0].execute("DROP SCHEMA IF EXISTS taskhub CASCADE")
            await asyncio.gather(*(schema.prepare(connection) for connection in connections))
            await schema.prepare(connections[0])
            assert (await execute("SELECT version FROM taskhub.schema_version"))[0][
                "version"
            ] == schema.VERSION
            await execute(f"UPDATE taskhub.schema_version SET version = {schema.VERSION + 1}")
            with pytest.raises(HubUnavailable, match="newer program"):
                await schema.prepare(connections[0])
            await execute(f"UPDATE taskhub.schema_version SET version = {schema.VERSION}")
        finally:
            for connection in connections:
                await connection.close()

    asyncio.run(scenario())


async def _plan(connection: asyncpg.Connection, tables: Sequence[str]) -> list[str]:
    """How the database carries out a batch with rows in these tables."""
    kinds = [f"{kind}[]" for table in tables for kind in TYPES[table].split()]
    types, nothing = ", ".join(kinds), ", ".join(["'{}'"] * len(kinds))
    await connection.execute(f"PREPARE journal (integer, bigint, {types}) AS {statement(tables)}")
    rows = await connection.fetch(f"EXPLAIN EXECUTE journal (1, 1, {nothing})")
    await connection.execute("DEALLOCATE journal")
    return [row[0].strip() for row in rows]


def test_the_journal_goes_by_primary_keys_from_the_start(database: Database) -> None:
    """Its statements are planned once: with empty tables a worse plan would look as good, and stay."""

    async def scenario() -> None:
        connection = await connect(database.owner_url.replace("+psycopg", ""), WRITER_SETTINGS)
        try:
            await schema.prepare(connection)
            combinations = (chosen for size in range(1, 9) for chosen in itertools.combinations(TYPES, size))
            plans = [await _plan(connection, tables) for tables in combinations]
        finally:
            await connection.close()
        plan = [line for plan in plans for line in plan]
        used = {line.split(" using ")[1].split(" ")[0] for line in plan if " using " in line}
        assert used == {"instance_pkey", "history_pkey", "message_pkey", "entity_pkey"}
        whole_keys = [line for line in plan if line.startswith("Index Cond:") and " AND " in line]
        assert len(whole_keys) == sum(line.startswith("Index Cond:") for line in plan)
        assert not any("Seq Scan" in line for line in plan)

    asyncio.run(scenario())


def test_a_hub_on_its_own_thread(hub_url: str, hub_name: str) -> None:
    async def scenario() -> None:
        hub = await TaskHub.open(hub_url, hub_name, options=HubOptions(own_thread=True))
        assert (await hub.serve()).startswith("127.0.0.1:")
        await hub.close()
        assert hub.lost.cancelled()

    asyncio.run(scenario())
