"""A local PostgreSQL server: real durability settings, loopback only, a password for every role.

The server outlives the process that started it and is found again by the next one. After any crash, ours or
its own, starting it is enough: PostgreSQL repairs its data, and what a dead server left behind is cleared.
"""

import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg

from kernel.errors import Unavailable
from localhost.services import cluster, daemon, databases
from localhost.services.ports import LOOPBACK, free_port, is_free, listens
from localhost.services.valuefile import ValueFile

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    # No replicas here: less log to write, and one process less.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    # Statements here are small: compiling them costs more than it saves.
    "jit": "off",
}
_START_SECONDS = 60
_ATTEMPTS = 3
_PASSWORD_BYTES = 24


class PostgresServer:
    """The PostgreSQL server of one state folder."""

    def __init__(self, state_dir: Path, passwords: ValueFile, ports: ValueFile) -> None:
        self._state_dir = state_dir
        self._log = state_dir / "postgres.log"
        self._passwords = passwords
        self._ports = ports
        self._process: psutil.Process | None = None
        self.started = False

    @property
    def port(self) -> int:
        """The port it listens on; it stays the same while nobody else takes it."""
        return int(self._ports.recall("postgres", lambda: str(free_port())))

    @property
    def log(self) -> Path:
        """What the server writes of itself."""
        return self._log

    def password(self, role: str) -> str:
        """The password of one of our roles; made at the first use."""
        return self._passwords.recall(f"postgres_{role}", lambda: secrets.token_urlsafe(_PASSWORD_BYTES))

    def start(self, progress: Callable[[str], None]) -> None:
        """Have the server running with all roles and databases. Raises `Unavailable`."""
        home = cluster.prepare(self._state_dir, self.password(cluster.SUPERUSER))
        self._process = self._running(home)
        if self._process is None:
            self._clear_remains(home)
            self._process = self._launch(home)
            self.started = True
        with self._first_connection() as connection:
            self._check_identity(connection, home)
            databases.provision(connection, {role: self.password(role) for role in databases.ROLES})
        progress(f"PostgreSQL {'started' if self.started else 'found running'} on {LOOPBACK}:{self.port}.")

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, committed work is safe."""
        if self._process is not None:
            daemon.end(self._process, signal.SIGINT)
        self._process, self.started = None, False

    def stop_unless_used(self) -> None:
        """Fast shutdown, whoever started it, if nobody else is connected."""
        others = (
            "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        try:
            with self.connect() as connection:
                used = connection.execute(others).fetchone() is not None
        except Unavailable:
            used = False
        if not used:
            self.stop()

    def end(self) -> None:
        """Fast shutdown of the server of this state folder, whoever started it."""
        home = cluster.find(self._state_dir)
        if home is not None:
            self._process = self._running(home)
            self.stop()

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A connection as the superuser, in autocommit mode. Raises `Unavailable`."""
        try:
            return psycopg.connect(
                host=LOOPBACK,
                port=self.port,
                dbname=database,
                user=cluster.SUPERUSER,
                password=self.password(cluster.SUPERUSER),
                autocommit=True,
                connect_timeout=10,
            )
        except psycopg.OperationalError as exc:
            raise Unavailable(
                f"PostgreSQL on port {self.port} does not accept our password: if its secrets.json was lost, "
                f"remove {self._state_dir} to start afresh. {daemon.last_lines(self._log)}"
            ) from exc

    def url(self, database: str, role: str) -> str:
        """The address of a database for SQLAlchemy with psycopg, password included."""
        return f"postgresql+psycopg://{role}:{self.password(role)}@{LOOPBACK}:{self.port}/{database}"

    def _running(self, home: cluster.Cluster) -> psutil.Process | None:
        """The live server of this data directory, once it is ready; None if there is none."""
        pid, port = _lock_file(home.data)
        try:
            process = psutil.Process(pid)
        except (psutil.Error, ValueError):
            return None
        if not home.is_served_by(process) or not self._becomes_ready(process, home):
            return None
        if not listens(process, [port]):
            raise Unavailable(
                f"The PostgreSQL server with process id {pid} serves {home.data} but not on port {port}: "
                f"end it with `kill {pid}`, then try again."
            )
        self._ports.keep("postgres", str(port))
        return process

    def _becomes_ready(self, process: psutil.Process, home: cluster.Cluster) -> bool:
        """Wait for a server that is still repairing its data; False for one that was shutting down."""
        try:
            self._wait_ready(process, home)
        except Unavailable:
            if daemon.is_alive(process):
                raise
            return False
        return True

    def _wait_ready(self, process: psutil.Process, home: cluster.Cluster) -> None:
        daemon.wait_ready(
            process,
            lambda: _is_ready(home.data, process.pid),
            name="PostgreSQL",
            log=self._log,
            within=_START_SECONDS,
        )

    def _clear_remains(self, home: cluster.Cluster) -> None:
        """Clear what a killed server left. Its children first: beside a new one they would corrupt data."""
        for process in home.processes():
            daemon.end(process, signal.SIGKILL)
        (home.data / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self, home: cluster.Cluster) -> psutil.Process:
        for attempt in range(1, _ATTEMPTS + 1):
            if not is_free(self.port):
                self._ports.keep("postgres", str(free_port()))
            try:
                return self._launch_once(home)
            except Unavailable:
                # Only somebody taking the port between our check and the start is worth another try.
                if attempt == _ATTEMPTS or is_free(self.port):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _launch_once(self, home: cluster.Cluster) -> psutil.Process:
        options = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        server = daemon.launch(
            [home.programs / "postgres", "-D", home.data, "-p", str(self.port), *options],
            name="PostgreSQL",
            log=self._log,
            environment=cluster.environment(),
            account=home.account,
        )
        self._wait_ready(server, home)
        return server

    def _first_connection(self) -> psycopg.Connection:
        """Connect, with patience for a server that is restarting after one of its processes was killed."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return self.connect()
            except Unavailable as exc:
                if "authentication failed" in str(exc.__cause__) or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)

    def _check_identity(self, connection: psycopg.Connection, home: cluster.Cluster) -> None:
        row = connection.execute("SHOW data_directory").fetchone()
        if row is None or Path(row[0]).resolve() != home.data:
            raise Unavailable(
                f"Port {self.port} is served by a PostgreSQL of another folder, not of {home.data}: "
                f"remove {self._state_dir / 'ports.json'}, then try again."
            )


def _lock_file(data: Path) -> tuple[int, int]:
    """Process id and port from postmaster.pid (its lines 1 and 4), or (-1, -1)."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return int(lines[0]), int(lines[3])
    except (OSError, ValueError, IndexError):
        return -1, -1


def _is_ready(data: Path, pid: int) -> bool:
    """Whether the server with this process id has said that it accepts connections (line 8)."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"
