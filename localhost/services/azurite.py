"""Azurite, Microsoft's Azure Storage emulator: blobs, queues and tables on loopback ports.

It has an account of its own with a random key, never the well-known development account: a program that was
meant for another Azurite cannot write here by mistake. Azurite writes its index to disk every 5 seconds and
when it is stopped in order, so killing Azurite itself (not its user) can lose the last seconds.
"""

import base64
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from kernel.errors import Unavailable
from localhost.services import daemon
from localhost.services.node import Node, find_node
from localhost.services.ports import LOOPBACK, free_port, is_free, listens
from localhost.services.toolbox import installed, run_installer
from localhost.services.valuefile import ValueFile

_PARTS = ("blob", "queue", "table")
_LOCK = Path(__file__).parent / "npm"
_PROGRAM = Path("node_modules/azurite/dist/src/azurite.js")
_START_SECONDS = 60
_ATTEMPTS = 3


class Azurite:
    """The Azurite of one state folder."""

    def __init__(self, project_root: Path, state_dir: Path, keys: ValueFile, ports: ValueFile) -> None:
        self._project_root = project_root
        self._data = state_dir / "azurite"
        self._log = state_dir / "azurite.log"
        self._keys = keys
        self._ports = ports
        self._process: psutil.Process | None = None
        self.started = False

    @property
    def connection_string(self) -> str:
        """For the Azure SDKs; holds the account key."""
        endpoints = ";".join(
            f"{part.capitalize()}Endpoint=http://{LOOPBACK}:{self._port(part)}/{self._account()}"
            for part in _PARTS
        )
        account = f"AccountName={self._account()};AccountKey={self._key()}"
        return f"DefaultEndpointsProtocol=http;{account};{endpoints};"

    def start(self, progress: Callable[[str], None]) -> None:
        """Have Azurite running on ports that are its own. Raises `Unavailable`."""
        self._process = self._running()
        if self._process is None:
            node, program = self.install(progress)
            self._data.mkdir(exist_ok=True)
            self._process = self._launch(node, program)
            self.started = True
            self._check_key()
        progress(
            f"Azurite {'started' if self.started else 'found running'} on {LOOPBACK}:{self._port('blob')}."
        )

    def stop(self) -> None:
        """End Azurite; it saves its data first."""
        if self._process is not None:
            daemon.end(self._process, signal.SIGTERM)
        self._process, self.started = None, False

    def end(self) -> None:
        """End the Azurite of this state folder, whoever started it."""
        self._process = self._running()
        self.stop()

    def install(self, progress: Callable[[str], None]) -> tuple[Node, Path]:
        """Node.js and Azurite's program; downloaded now if this machine lacks them. Raises `Unavailable`."""
        node = find_node(self._project_root, progress)
        lock = _LOCK / "package-lock.json"
        folder = installed(self._project_root, "Azurite", lock, progress, partial(_install, node))
        return node, folder / _PROGRAM

    def _account(self) -> str:
        return self._keys.recall("azurite_account", lambda: f"sluice{secrets.token_hex(4)}")

    def _key(self) -> str:
        return self._keys.recall("azurite_key", lambda: base64.b64encode(secrets.token_bytes(32)).decode())

    def _port(self, part: str) -> int:
        return int(self._ports.recall(f"azurite_{part}", lambda: str(free_port())))

    def _running(self) -> psutil.Process | None:
        """The live Azurite of our data folder, if it is usable; one that is not is ended."""
        found = None
        for process in psutil.process_iter():
            if not self._is_ours(process):
                continue
            if listens(process, [self._port(part) for part in _PARTS]) and self._accepts_key():
                found = process
            else:
                daemon.end(process, signal.SIGTERM)
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            command = process.cmdline()
            ours = str(self._data) in command and any(part.endswith(str(_PROGRAM)) for part in command)
            return ours and process.uids().real == os.geteuid()
        except psutil.Error:
            return False

    def _launch(self, node: Node, program: Path) -> psutil.Process:
        for attempt in range(1, _ATTEMPTS + 1):
            for part in _PARTS:
                if not is_free(self._port(part)):
                    self._ports.keep(f"azurite_{part}", str(free_port()))
            try:
                return self._launch_once(node, program)
            except Unavailable:
                # Only somebody taking a port between our check and the start is worth another try.
                if attempt == _ATTEMPTS or all(is_free(self._port(part)) for part in _PARTS):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _launch_once(self, node: Node, program: Path) -> psutil.Process:
        ports = [self._port(part) for part in _PARTS]
        command: list[str | Path] = [node.program, program, "--location", self._data]
        for part, port in zip(_PARTS, ports, strict=True):
            command += [f"--{part}Host", LOOPBACK, f"--{part}Port", str(port)]
        command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        environment = {**node.environment(), "AZURITE_ACCOUNTS": f"{self._account()}:{self._key()}"}
        environment.pop("AZURITE_DB", None)  # would move the data into somebody's SQL database
        server = daemon.launch(command, name="Azurite", log=self._log, environment=environment)
        daemon.wait_ready(
            server, lambda: listens(server, ports), name="Azurite", log=self._log, within=_START_SECONDS
        )
        return server

    def _check_key(self) -> None:
        if not self._accepts_key():
            raise Unavailable(
                f"Azurite on port {self._port('blob')} does not accept its own account key. "
                f"{daemon.last_lines(self._log)}"
            )

    def _accepts_key(self) -> bool:
        # Imported late: half a second that can pass while Azurite starts.
        from azure.core.exceptions import AzureError
        from azure.storage.blob import BlobServiceClient

        try:
            with BlobServiceClient.from_connection_string(self.connection_string, retry_total=0) as client:
                client.get_service_properties()
        except AzureError:
            return False
        return True


def _install(node: Node, draft: Path) -> None:
    shutil.copytree(_LOCK, draft)
    run_installer(
        [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        folder=draft,
        environment=node.environment(),
        failed="Azurite could not be installed from npm",
        remedy="Check the network and npm's registry setting, then try again.",
    )
