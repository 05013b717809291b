"""The mail catcher as a service: mail that the application sends on this machine ends in its inbox."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from kernel.errors import Unavailable
from localhost.services import daemon
from localhost.services.ports import LOOPBACK, free_port, is_free, listens
from localhost.services.valuefile import ValueFile

_MODULE = "localhost.inbox"
_CODE = Path(__file__).resolve().parents[2]
_PARTS = ("smtp", "inbox")
_START_SECONDS = 30
_ATTEMPTS = 3


class MailCatcher:
    """The mail catcher of one state folder; its mails are kept there."""

    def __init__(self, state_dir: Path, ports: ValueFile) -> None:
        self._data = state_dir / "mails"
        self._log = state_dir / "mails.log"
        self._ports = ports
        self._process: psutil.Process | None = None
        self.started = False

    @property
    def port(self) -> int:
        """Where it takes mail."""
        return self._port("smtp")

    @property
    def inbox(self) -> str:
        """Where the mails are shown."""
        return f"http://{LOOPBACK}:{self._port('inbox')}/"

    def start(self, progress: Callable[[str], None]) -> None:
        """Have it running on ports that are its own. Raises `Unavailable`."""
        self._process = self._running()
        if self._process is None:
            self._data.mkdir(parents=True, exist_ok=True)
            self._process = self._launch()
            self.started = True
        progress(f"Inbox {'started' if self.started else 'found running'} on {self.inbox}")

    def stop(self) -> None:
        """End it; the mails stay."""
        if self._process is not None:
            daemon.end(self._process, signal.SIGTERM)
        self._process, self.started = None, False

    def end(self) -> None:
        """End the one of this state folder, whoever started it."""
        self._process = self._running()
        self.stop()

    def _port(self, part: str) -> int:
        return int(self._ports.recall(part, lambda: str(free_port())))

    def _running(self) -> psutil.Process | None:
        found = None
        for process in psutil.process_iter():
            if not self._is_ours(process):
                continue
            if listens(process, [self._port(part) for part in _PARTS]):
                found = process
            else:
                daemon.end(process, signal.SIGTERM)
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            ours = {_MODULE, str(self._data)} <= set(process.cmdline())
            return ours and process.uids().real == os.geteuid()
        except psutil.Error:
            return False

    def _launch(self) -> psutil.Process:
        for attempt in range(1, _ATTEMPTS + 1):
            for part in _PARTS:
                if not is_free(self._port(part)):
                    self._ports.keep(part, str(free_port()))
            try:
                return self._launch_once()
            except Unavailable:
                # Only somebody taking a port between our check and the start is worth another try.
                if attempt == _ATTEMPTS or all(is_free(self._port(part)) for part in _PARTS):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _launch_once(self) -> psutil.Process:
        ports = [self._port(part) for part in _PARTS]
        command = [sys.executable, "-P", "-m", _MODULE, str(self._data), *map(str, ports)]
        environment = {**os.environ, "PYTHONPATH": str(_CODE)}
        server = daemon.launch(command, name="The inbox", log=self._log, environment=environment)
        daemon.wait_ready(
            server, lambda: listens(server, ports), name="The inbox", log=self._log, within=_START_SECONDS
        )
        return server
