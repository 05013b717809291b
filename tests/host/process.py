"""A real host process for tests: started on a free port, spoken to over HTTP, stopped by signal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.support.eventually import eventually

REPOSITORY = Path(__file__).parents[2]
APPS = Path(__file__).parent / "apps"


class HostProcess:
    """`python -m localhost start` on a function app folder. Use it as a context manager."""

    def __init__(
        self,
        app: Path,
        folder: Path,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._ready_file = folder / "ready.json"
        self._ready_file.unlink(missing_ok=True)
        self._log = (folder / "host.log").open("w+", encoding="utf-8")
        command = [sys.executable, "-m", "localhost", "start", "--port", "0", "--script-root", str(app)]
        self.process = subprocess.Popen(
            [*command, "--ready-file", str(self._ready_file), "--state", str(folder / "state"), *options],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
        )
        self.client = httpx2.Client(timeout=30)

    def wait_until_ready(self) -> Self:
        """Wait for the host's ready file, and direct `client` at its port."""
        ready = eventually(self._ready, within=20, what="the host is ready")
        self.client.base_url = httpx2.URL(f"http://127.0.0.1:{ready['port']}")
        return self

    def _ready(self) -> dict[str, Any] | None:
        if self.process.poll() is not None:
            raise AssertionError(f"The host ended with {self.process.returncode}:\n{self.log()}")
        if not self._ready_file.exists():
            return None
        ready: dict[str, Any] = json.loads(self._ready_file.read_text(encoding="utf-8"))
        return ready

    def log(self) -> str:
        """Everything the host has printed so far."""
        return Path(self._log.name).read_text(encoding="utf-8")

    def logged(self, text: str) -> None:
        """Wait until the host has printed `text`."""
        eventually(lambda: text in self.log(), what=f"{text!r} is printed")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(40)

    def __enter__(self) -> Self:
        try:
            return self.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the host if it still runs."""
        self.client.close()
        if self.process.poll() is None:
            self.stop()
        self._log.close()


def run_to_end(
    app: Path, *options: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Start a host that is expected to fail at once: exit code, standard output, standard error."""
    command = [sys.executable, "-m", "localhost", "start", "--script-root", str(app), *options]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
