"""The application as a child process on the embedded host."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from kernel.errors import Unavailable

START_SECONDS = 60.0
STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02
_LOG_LINES = 12


class Application:
    """One host process for a project. A host that a killed starter left behind is stopped first."""

    def __init__(self, root: Path, state_dir: Path) -> None:
        self._root = root
        self._state_dir = state_dir
        self._ready_file = state_dir / "host.json"
        self.log_file = state_dir / "host.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str], port: int) -> str:
        """Start the host (`port` 0 takes a free one) and return its base URL.

        Raises `Unavailable` with the end of the host's log when it does not come up.
        """
        self.stop_abandoned()
        command = [sys.executable, "-m", "localhost", "start", "--port", str(port)]
        command += ["--script-root", str(self._root), "--ready-file", str(self._ready_file)]
        command += ["--state", str(self._state_dir / "host")]
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._root,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._note_pid(self._process.pid)
        return f"http://127.0.0.1:{self._wait_ready()}"

    def stop(self) -> None:
        """Let the host finish what it does and end."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._ready_file.unlink(missing_ok=True)

    def _wait_ready(self) -> int:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if port := json.loads(self._ready_file.read_text()).get("port"):
                return int(port)
            time.sleep(_POLL_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
        lines = self.log_file.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        raise Unavailable("\n".join([f"The host did not start; the end of {self.log_file} says:", *lines]))

    def _note_pid(self, pid: int) -> None:
        """From here on a killed starter leaves a trace; the host adds its port to it."""
        draft = self._ready_file.with_suffix(".new")
        draft.write_text(json.dumps({"pid": pid}))
        draft.replace(self._ready_file)

    def stop_abandoned(self) -> None:
        """Stop the host that an earlier starter left running for this project, if there is one."""
        try:
            pid = int(json.loads(self._ready_file.read_text())["pid"])
            process = psutil.Process(pid)
            # Its number may long be another process's, even that of a host of another state folder.
            ours = {"localhost", str(self._ready_file)} <= set(process.cmdline())
        except (OSError, ValueError, KeyError, psutil.Error):
            return
        if ours and pid != os.getpid():
            process.terminate()
            _, alive = psutil.wait_procs([process], timeout=STOP_SECONDS)
            for stubborn in alive:
                stubborn.kill()
