"""The ERP server as tests use it."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.support.erp_server.faults import Fault, FaultKind
from tests.support.erp_server.ledger import Line, read_lines
from tests.support.eventually import eventually

PROJECT = Path(__file__).resolve().parents[3]
_START_SECONDS = 20.0
_STOP_SECONDS = 10.0


@dataclass
class ErpServer:
    """One server over the files in `folder`. After `kill` or `stop` it can start again, on the same port."""

    folder: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def state_file(self) -> Path:
        """Its ledger's file."""
        return self.folder / "ledger.jsonl"

    def start(self) -> None:
        """Returns once it listens."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.support.erp_server", "--port", str(self.port)]
        files = ["--state", str(self.state_file), "--ready-file", str(ready)]
        self._process = process = subprocess.Popen([*command, *files], cwd=PROJECT)

        def listening() -> bool:
            assert process.poll() is None, f"the ERP server ended with status {process.returncode}"
            return ready.exists()

        eventually(listening, within=_START_SECONDS, what="the ERP server listens")
        self.port = int(ready.read_text())

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def fault(self, kind: FaultKind, resource: str = "*", **details: Any) -> None:
        """Switch one fault on, by default for the next request."""
        self.faults(Fault(kind, resource, **details))

    def faults(self, *faults: Fault) -> None:
        """Switch faults on; those named first strike first."""
        self.control(faults=[fault.to_dict() for fault in faults])

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self.control(clear_faults=True)

    def put_records(self, name: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Make a list that can be read at `/pages/{style}/{name}` and `/records/{name}/{field}/{value}`."""
        self.control(records={name: list(records)})

    def control(self, **settings: Any) -> dict[str, Any]:
        """Change the server's state, and tell it."""
        answer = httpx2.post(f"{self.url}/control", json=settings, trust_env=False)
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def state(self) -> dict[str, Any]:
        """Counts of requests, tokens granted and faults that struck."""
        return self.control()

    def ledger(self, resource: str | None = None) -> list[Line]:
        """What was accepted, read from the file: also after a kill."""
        return [line for line in read_lines(self.state_file) if resource in (None, line.resource)]

    def counts(self, resource: str) -> Counter[str]:
        """Lines by idempotency key."""
        return Counter(line.key for line in self.ledger(resource))

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(_STOP_SECONDS)
        self._process = None
