"""Being the one process that owns a hub: the connection that holds its lock and does all its writing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg

from localhost.taskhub import batch, schema
from localhost.taskhub.errors import HubLost, HubOwned, HubUnavailable
from localhost.taskhub.options import HubOptions

_RETRY_SECONDS = 0.05
# Each journal statement is planned once, while its tables may still be empty: it has to go by index whatever
# the planner thinks of their size.
WRITER_SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "application_name": "taskhub",
}


async def connect(url: str, settings: dict[str, str] | None = None) -> asyncpg.Connection:
    """A connection, or HubUnavailable. The URL may carry a password: it is in no message."""
    try:
        return await asyncpg.connect(url, server_settings=settings, timeout=30)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as exc:
        reason = str(exc) or type(exc).__name__
        raise HubUnavailable(f"The task hub's database cannot be reached: {reason}. Is it running?") from exc


@dataclass(eq=False)
class Ownership:
    """A hub that is ours. `hub` is its number in all tables."""

    hub: int
    name: str
    epoch: int
    connection: asyncpg.Connection
    _statements: "dict[tuple[str, ...], asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record]]" = field(
        default_factory=dict
    )
    _released: bool = False

    @classmethod
    async def take(cls, url: str, name: str, options: HubOptions) -> "Ownership":
        """Become the owner. Raises HubOwned if another process is, HubUnavailable without a database."""
        connection = await connect(url, WRITER_SETTINGS)
        try:
            await schema.prepare(connection)
            await _lock(connection, name, options.takeover_seconds)
            hub, epoch = await _new_epoch(connection, name, options)
        except asyncpg.PostgresError as exc:
            connection.terminate()
            raise HubUnavailable(f"The task hub's tables cannot be used: {exc}") from exc
        except BaseException:
            connection.terminate()
            raise
        return cls(hub, name, epoch, connection)

    async def commit(self, changes: batch.Batch) -> None:
        """Write one batch, durably. Raises HubLost if that is impossible, whatever the reason."""
        try:
            statement = self._statements.get(changes.tables)
            if statement is None:
                statement = await self.connection.prepare(batch.statement(changes.tables))
                self._statements[changes.tables] = statement
            await statement.fetchval(self.hub, self.epoch, *changes.arguments())
        except asyncpg.ObjectNotInPrerequisiteStateError as exc:
            raise HubLost(f"Task hub '{self.name}' has been taken over by another process.") from exc
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
            raise HubLost(f"Task hub '{self.name}' could not write its journal: {exc}") from exc

    def on_loss(self, report: Callable[[HubLost], None]) -> None:
        """Call `report` when the connection ends other than by `release`."""
        message = f"Task hub '{self.name}' lost its database connection and with it the hub."

        def ended(_connection: object) -> None:
            if not self._released:
                report(HubLost(message))

        self.connection.add_termination_listener(ended)

    def terminate(self) -> None:
        """Break the connection off."""
        self.connection.terminate()

    async def release(self) -> None:
        """Give the hub up."""
        self._released = True
        try:
            await self.connection.close(timeout=5)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            self.connection.terminate()


async def _lock(connection: asyncpg.Connection, name: str, patience: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    # The lock of a process that was killed goes when the server notices that its connection is gone.
    while not await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", _key(name)):
        if loop.time() > deadline:
            raise HubOwned(await _owner(connection, name))
        await asyncio.sleep(_RETRY_SECONDS)


def _key(name: str) -> str:
    return f"taskhub:{name}"


async def _owner(connection: asyncpg.Connection, name: str) -> str:
    row = await connection.fetchrow(
        "SELECT owner_pid, owner_host, owner_since FROM taskhub.hub WHERE name = $1", name
    )
    who = "another process"
    if row is not None:
        since = row["owner_since"].isoformat(timespec="seconds")
        who = f"process {row['owner_pid']} on {row['owner_host']}, since {since}"
    return (
        f"Task hub '{name}' is in use by {who}. Stop that process, or give this one another hub name "
        "(host.json, extensions.durableTask.hubName) or database."
    )


async def _new_epoch(connection: asyncpg.Connection, name: str, options: HubOptions) -> tuple[int, int]:
    row = await connection.fetchrow(
        """
        INSERT INTO taskhub.hub AS h (name, epoch, owner_pid, owner_host, owner_since)
        VALUES ($1, 1, $2, $3, now())
        ON CONFLICT (name) DO UPDATE SET (epoch, owner_pid, owner_host, owner_since)
            = (h.epoch + 1, excluded.owner_pid, excluded.owner_host, excluded.owner_since)
        RETURNING id, epoch
        """,
        name,
        options.owner_pid,
        options.owner_host,
    )
    assert row is not None
    return row["id"], row["epoch"]
