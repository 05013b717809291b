"""Everything that runs for a demo or for development, started together and stopped together."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from kernel.errors import Unavailable
from localhost.application import Application
from localhost.environment import prepare
from localhost.services.filelock import locked
from localhost.services.ports import LOOPBACK, free_port
from localhost.services.stack import Endpoints, Stack


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


class Session:
    """Services, schema and host. On exit it stops what it started, unless told to keep it."""

    def __init__(
        self, root: Path, state_dir: Path, progress: Callable[[str], None], *, keep: bool = False
    ) -> None:
        self.progress = progress
        self._root = root
        self._state_dir = state_dir.resolve()
        self._stack = Stack(root, self._state_dir)
        self._application = Application(root, self._state_dir)
        self._keep = keep
        # Two sessions of one folder would stop each other's host.
        self._lock = locked(
            self._state_dir / "session.lock", lambda: progress("Another session runs; waiting")
        )
        self._endpoints: Endpoints | None = None
        self._base_url = ""

    def __enter__(self) -> Self:
        self._lock.__enter__()
        # Ended politely, stop politely: the services are ours to stop.
        signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if not (self._keep and kind is None):
                self._application.stop()
                self._stack.stop()
        finally:
            self._lock.__exit__(None, None, None)

    def start(self, port: int) -> str:
        """Start everything; returns the base URL of the API."""
        self._endpoints = self._stack.start(self.progress)
        environment = prepare(self._endpoints, self._root, self._state_dir, self.progress)
        self.progress("Starting the host")
        port = port or free_port()  # links in mail have to name it
        environment["SLUICE_PUBLIC_URL"] = f"http://{LOOPBACK}:{port}"
        self._base_url = self._application.start(environment, port)
        return self._base_url

    def environment(self) -> dict[str, str]:
        """Start the services only; returns the application's environment variables."""
        self._endpoints = self._stack.start(self.progress)
        return prepare(self._endpoints, self._root, self._state_dir, self.progress)

    def erp_address(self) -> dict[str, Any]:
        """Where the example ERP is, as connector settings."""
        ends = self._started()
        return {"host": ends.erp_host, "port": ends.erp_port}

    def stop(self) -> None:
        """Stop the host and the services of this folder, whoever started them."""
        self._application.stop_abandoned()
        self._stack.end()

    def addresses(self) -> dict[str, str]:
        """Where everything is. Passwords are named by their file, never shown."""
        ends = self._started()
        password_file = self._write_password_file(ends)
        client = f"psql -h {ends.erp_host} -p {ends.erp_port} -U {ends.erp_user} {ends.erp_database}"
        return {
            "api": f"{self._base_url}/api/openapi.json",
            "approvals": f"{self._base_url}/approvals",
            "ledger": f"PGPASSFILE={password_file} {client}",
            "inbox": ends.inbox_url,
            "host_log": str(self._application.log_file),
        }

    def _started(self) -> Endpoints:
        if self._endpoints is None:
            raise Unavailable("The services of this session have not been started: start it first.")
        return self._endpoints

    def print_addresses(self, console: Console) -> None:
        """Print where everything is."""
        for name, address in self.addresses().items():
            console.print(f"{name:<9} {address}", markup=False, highlight=False, soft_wrap=True)

    def _write_password_file(self, ends: Endpoints) -> Path:
        """A password file for PostgreSQL's own clients (libpq's `PGPASSFILE`)."""
        path = self._state_dir / "pgpass"
        path.touch(mode=0o600)
        place = f"{ends.erp_host}:{ends.erp_port}:{ends.erp_database}:{ends.erp_user}"
        path.write_text(f"{place}:{ends.erp_password}\n")
        return path
