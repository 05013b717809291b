"""A real deployment: the function app on the embedded host, in a process that can be killed."""

import base64
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from kernel.secrets import Secret
from localhost.demo.client import PERSON, Api
from localhost.host.hub_database import SETTING
from store.blobs import Blobs
from tests.faults.load import ENVIRONMENT, Kind, Load, connector
from tests.host.process import HostProcess
from tests.support.erp_server.client import ErpServer
from tests.support.eventually import eventually
from tests.support.services import PROJECT
from workflows.states import TERMINAL_RUN_STATES, PostingState, RunState


@dataclass(frozen=True)
class Places:
    """Where the deployment keeps its state."""

    app_url: str = field(repr=False)
    owner_url: str = field(repr=False)
    storage: str = field(repr=False)
    hub_url: str = field(repr=False)


@dataclass
class Deployment:
    """One host over `places`; it may die and start again. Close it in the end."""

    places: Places
    folder: Path
    erp: ErpServer
    hub: str = "faults"
    lives: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    host: HostProcess | None = None
    api: Api | None = None

    def up(self) -> None:
        """Have the host running."""
        if self.host is not None and self.host.process.poll() is None:
            return
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the host; it is not ready yet."""
        self._forget()
        self.lives += 1
        folder = self.folder / f"life-{self.lives}"
        folder.mkdir()
        state = ("--state", str(self.folder / "state"))
        self.host = HostProcess(PROJECT, folder, options=state, environment=self._environment())

    def wait_ready(self) -> None:
        """Wait for a launched host."""
        assert self.host is not None
        self.host.wait_until_ready()
        self.host.client.headers["X-Sluice-Person"] = PERSON
        self.api = Api(str(self.host.client.base_url).rstrip("/"))

    def kill(self) -> float:
        """`kill -9`; the time of it, as of `time.monotonic`."""
        assert self.host is not None
        self.host.process.send_signal(signal.SIGKILL)
        self.host.process.wait()
        return time.monotonic()

    def ended(self) -> bool:
        """Whether the host has ended by itself."""
        return self.host is not None and self.host.process.poll() is not None

    def close(self) -> None:
        """Stop the host."""
        self._forget()

    def register(self, *, attempts: int = 5, concurrency: int | None = None, **changes: Any) -> None:
        """Connectors, and workflows with so many attempts; `changes` as of `load.connector`. Wants a running
        host."""
        assert self.api is not None
        Blobs(Secret(self.places.storage)).ensure_containers()
        files = {"system": "files", "settings": {"container": "files"}}
        self.api.save_connector("worklog", {**files, "secrets": {"connection": "files-connection"}})
        books = connector(self.erp.url, **changes)
        self.api.save_connector(
            "books", {**books, "settings": {**books["settings"], "concurrency": concurrency}}
        )
        for kind in Kind:
            self.api.publish(kind.definition(attempts))

    def start(self, load: Load, workflow: str = "") -> str:
        """Upload the load and start its run, by default of the workflow of its kind; the run's id."""
        assert self.api is not None
        name = f"loads/{load.name}.csv"
        self.api.upload(name, load.csv())
        return str(self.api.start(workflow or load.kind.workflow, {"file": name}, str(uuid4()))["id"])

    def ask(self, action: str, run_id: str) -> None:
        """What an operator asks for: cancel, retry and so on."""
        assert self.host is not None
        answer = self.host.client.post(f"/api/runs/{run_id}/{action}", json={"reason": "a fault test"})
        assert answer.status_code == 202, answer.text

    def state(self, run_id: str) -> RunState:
        """The run's state, from the database."""
        return RunState(self.sql("SELECT state FROM sluice.workflow_run WHERE id = %s", run_id)[0][0])

    def failure(self, run_id: str) -> dict[str, Any] | None:
        """The run's failure, from the database."""
        found: dict[str, Any] | None = self.sql(
            "SELECT failure FROM sluice.workflow_run WHERE id = %s", run_id
        )[0][0]
        return found

    def is_over(self, run_id: str) -> bool:
        """Whether the run has ended."""
        return self.state(run_id) in TERMINAL_RUN_STATES

    def wait_end(self, run_id: str, *, within: float = 60, revive: bool = False) -> RunState:
        """The state in which the run has ended. `revive` starts a host that has ended by itself again."""

        def over() -> bool:
            if revive and self.ended():
                self.up()
            return self.is_over(run_id)

        eventually(over, within=within, what=f"run {run_id} ends")
        return self.state(run_id)

    def confirmed(self, run_id: str) -> int:
        """How many records the run has posted so far."""
        query = "SELECT count(*) FROM sluice.posting WHERE run_id = %s AND state = 'CONFIRMED'"
        return int(self.sql(query, run_id)[0][0])

    def postings(self) -> Mapping[str, PostingState]:
        """The posting ledger by idempotency key."""
        rows = self.sql("SELECT idempotency_key, state FROM sluice.posting")
        return {key: PostingState(state) for key, state in rows}

    def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of the deployment's database."""
        url = self.places.owner_url.replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def _forget(self) -> None:
        if self.api is not None:
            self.api.close()
        if self.host is not None:
            self.host.close()
        self.api, self.host = None, None

    def _environment(self) -> dict[str, str]:
        vault = self.folder / "vault.json"
        if not vault.exists():
            vault.touch(mode=0o600)
            vault.write_text(json.dumps({"files-connection": self.places.storage}))
        return {
            "AzureWebJobsStorage": self.places.storage,
            "DATABASE_URL": self.places.app_url,
            "PYTHONUNBUFFERED": "1",
            "SLUICE_ENVIRONMENT": ENVIRONMENT,
            "SLUICE_IDENTITY": "local",
            "SLUICE_KEY_ENCRYPTION_KEY": base64.b64encode(b"k" * 32).decode(),
            "SLUICE_SECRETS_FILE": str(vault),
            "SLUICE_TASK_HUB": self.hub,
            "WEBSITE_AUTH_ENABLED": "false",
            SETTING: self.places.hub_url,
            "PATH": os.environ.get("PATH", ""),
            **self.settings,
        }
