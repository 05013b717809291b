"""The PostgreSQL database of a host's task hub: the one it is told of, or a server of its own."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from kernel.errors import Unavailable
from localhost.host.console import say
from localhost.host.errors import HostError

SETTING = "LOCALHOST_TASK_HUB_URL"
"""A PostgreSQL URI. Whoever starts the host sets it to share a server; without it the host starts one."""


class HubDatabase:
    """Gives the address of the hub's database and stops what it started for it."""

    def __init__(self, environ: Mapping[str, str], state_folder: Path) -> None:
        self._given = environ.get(SETTING, "")
        self._state_folder = state_folder
        self._stop = lambda: None

    async def open(self) -> str:
        """The address. Raises HostError when no server can be had."""
        return self._given or await asyncio.to_thread(self._start_server)

    async def close(self) -> None:
        """Stop the server if this host started it."""
        await asyncio.to_thread(self._stop)

    def _start_server(self) -> str:
        # Only apps with durable functions and no database of their own pay for this import.
        from localhost.services import databases
        from localhost.services.postgres import PostgresServer
        from localhost.services.valuefile import ValueFile

        folder = self._state_folder
        folder.mkdir(parents=True, exist_ok=True)
        passwords, ports = ValueFile(folder / "secrets.json"), ValueFile(folder / "ports.json")
        server = PostgresServer(folder, passwords, ports)
        try:
            server.start(say)
        except Unavailable as exc:
            raise HostError(
                f"The task hub has no database: {exc} Set {SETTING} to use a PostgreSQL server of yours."
            ) from exc
        if server.started:
            self._stop = server.stop
        return server.url("taskhub", databases.HUB).replace("+psycopg", "")
