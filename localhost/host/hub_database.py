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
    """Gives the address of the hub's database, and stops a server of the host's own when it is done.

    A host that is killed leaves its server behind; the next one finds it, uses it, and stops it.
    """

    def __init__(self, environ: Mapping[str, str], state_folder: Path) -> None:
        self._given = environ.get(SETTING, "")
        self._state_folder = state_folder
        self._stop = lambda: None

    async def open(self) -> str:
        """The address. Raises HostError when no server can be had."""
        return self._given or await asyncio.to_thread(self._start_server)

    async def close(self) -> None:
        """Stop the host's own server, unless another host uses it."""
        await asyncio.to_thread(self._stop)

    def _start_server(self) -> str:
        # Only apps with durable functions and no database of their own pay for this import.
        from localhost.services import databases
        from localhost.services.filelock import locked
        from localhost.services.postgres import PostgresServer
        from localhost.services.valuefile import ValueFile

        folder = self._state_folder
        server = PostgresServer(folder, ValueFile(folder / "secrets.json"), ValueFile(folder / "ports.json"))
        try:
            with locked(folder / "postgres.lock", lambda: say("Waiting for another start to finish.")):
                server.start(say)
        except OSError as exc:
            raise HostError(
                f"The task hub cannot be kept in {folder}: {exc.strerror}. Make the folder writable, or name "
                f"another one with --state, or set {SETTING} to use a PostgreSQL server of yours."
            ) from exc
        except Unavailable as exc:
            raise HostError(
                f"The task hub has no database: {exc} Set {SETTING} to use a PostgreSQL server of yours."
            ) from exc
        self._stop = server.stop_unless_used
        return server.url("taskhub", databases.HUB).replace("+psycopg", "")
