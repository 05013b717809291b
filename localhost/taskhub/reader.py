"""What clients ask of the database itself, on connections of its own: the writer's is never used to read."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from localhost.taskhub import loading, rows
from localhost.taskhub.errors import HubUnavailable
from localhost.taskhub.model import Instance

_SEPARATOR = "|"
# As for the writer: plans are kept, and tables grow quickly from nothing.
_SETTINGS = {"application_name": "taskhub reader", "enable_seqscan": "off", "jit": "off"}


@dataclass(frozen=True)
class Filter:
    """Which instances: all conditions hold. Times are a half-open interval of creation."""

    statuses: Sequence[int] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None
    prefix: str = ""


@dataclass(frozen=True)
class Page[T]:
    """One page, and the token that asks for the next; None at the end."""

    items: list[T]
    next: str | None


# `status >= 0` always holds; it makes the index on `created` eligible, see `schema`.
_MATCH = """
hub = $1 AND status >= 0 AND (cardinality($2::smallint[]) = 0 OR status = ANY ($2))
AND ($3::timestamptz IS NULL OR {time} >= $3) AND ($4::timestamptz IS NULL OR {time} < $4)
AND starts_with(id, $5)
AND ($6::timestamptz IS NULL OR ({time}, id) > ($6, $7::text))
"""
_CREATED = _MATCH.format(time="created")
_COMPLETED = _MATCH.format(time="completed")
_QUERY = f"""
SELECT {rows.INSTANCE_COLUMNS} FROM taskhub.instance WHERE {_CREATED} ORDER BY created, id LIMIT $8
"""  # noqa: S608 - constants
_FINISHED_IDS = f"""
SELECT id, completed AS time FROM taskhub.instance
WHERE {_COMPLETED} AND NOT live ORDER BY completed, id LIMIT $8
"""  # noqa: S608 - constants
_PURGEABLE = f"""
SELECT id, created AS time FROM taskhub.instance
WHERE {_CREATED} AND NOT live ORDER BY created, id LIMIT $8
"""  # noqa: S608 - constants
_DESCENDANTS = """
WITH RECURSIVE tree (id) AS (
    SELECT unnest($2::text[])
    UNION
    SELECT child.id FROM tree JOIN taskhub.instance child ON child.hub = $1 AND child.parent_id = tree.id
)
SELECT id FROM tree
"""


class Reader:
    """Reads instances and histories of one hub."""

    def __init__(self, pool: asyncpg.Pool, hub: int) -> None:
        self._pool = pool
        self._hub = hub

    @classmethod
    async def open(cls, url: str, hub: int, connections: int) -> "Reader":
        """Connections are made when they are needed."""
        pool = asyncpg.create_pool(
            url, min_size=0, max_size=connections, server_settings=_SETTINGS, reset=_leave
        )
        await pool
        return cls(pool, hub)

    async def close(self) -> None:
        """End the connections."""
        self._pool.terminate()

    async def instance(self, instance_id: str) -> Instance | None:
        """One instance as it was last committed."""
        async with self._connection() as connection:
            return await loading.load_instance(connection, self._hub, instance_id)

    async def history(self, execution: int) -> list[bytes]:
        """The pieces of history of one execution that are committed."""
        async with self._connection() as connection:
            return await loading.load_history(connection, self._hub, execution)

    async def query(self, wanted: Filter, after: str | None, size: int) -> Page[Instance]:
        """Instances in the order of their creation."""
        found = await self._page(_QUERY, wanted, after, size)
        instances = [rows.instance(row) for row in found.items]
        return Page(instances, found.next)

    async def finished_ids(self, wanted: Filter, after: str | None, size: int) -> Page[str]:
        """Ids of finished instances in the order of their completion; the filter's times are of that."""
        found = await self._page(_FINISHED_IDS, wanted, after, size)
        return Page([row["id"] for row in found.items], found.next)

    async def purgeable(self, wanted: Filter, after: str | None, size: int) -> Page[str]:
        """Ids of finished instances in the order of their creation."""
        found = await self._page(_PURGEABLE, wanted, after, size)
        return Page([row["id"] for row in found.items], found.next)

    async def descendants(self, instance_ids: Sequence[str]) -> list[str]:
        """These ids, and those of all sub-orchestrations below them."""
        async with self._connection() as connection:
            return [row["id"] for row in await connection.fetch(_DESCENDANTS, self._hub, instance_ids)]

    async def _page(self, sql: str, wanted: Filter, after: str | None, size: int) -> Page[Any]:
        time, last_id = parse_token(after)
        async with self._connection() as connection:
            found = await connection.fetch(
                sql,
                self._hub,
                list(wanted.statuses),
                wanted.created_from,
                wanted.created_to,
                wanted.prefix,
                time,
                last_id,
                size + 1,
            )
        page = found[:size]
        more = len(found) > size
        return Page(page, _token(page[-1]) if more else None)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=30) as connection:
                yield connection
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as exc:
            raise HubUnavailable(f"The task hub's database could not be read: {exc}") from exc


async def _leave(_connection: object) -> None:
    """Reading changes nothing about a connection: cleaning it up would be a wasted question to the server."""


def parse_token(token: str | None) -> tuple[datetime | None, str]:
    """Where a page begins: after this time and id. Raises ValueError for what is not a token of ours."""
    if not token:
        return None, ""
    micros, separator, instance_id = token.partition(_SEPARATOR)
    if not separator:
        raise ValueError(token)
    return rows.from_micros(int(micros)), instance_id


def _token(row: Any) -> str:
    time: datetime = row["time"] if "time" in row else row["created"]
    return f"{rows.micros(time)}{_SEPARATOR}{row['id']}"
