"""This engine, as it runs in production: the function app on the embedded host, spoken to over HTTP.

python -m benchmarks.own.engine < place-and-amounts.json
"""

import base64
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, LiteralString

import psutil
import psycopg

from benchmarks.own import definitions, fanning
from benchmarks.own.waiting import Waiting
from benchmarks.peers.driving import Place, drive
from kernel.secrets import Secret
from localhost.demo.client import PERSON
from localhost.host.hub_database import SETTING
from localhost.services import databases
from store.blobs import Blobs
from store.migrate import upgrade
from tests.host.process import REPOSITORY, HostProcess

CALLERS = 8
WORKERS = 2
_POLL_SECONDS = 0.001
_POLL_SHARE = 0.1
_POLL_ALL_SECONDS = 0.02
_PATIENCE_SECONDS = 600.0
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


class RunFailed(Exception):
    """A run did not end well."""


class Sluice:
    """A started deployment with the work published."""

    def __init__(self, host: HostProcess, database: psycopg.Connection[Any], batch: int) -> None:
        self._host = host
        self._database = database
        self._local = threading.local()
        self._batch = batch
        self.waiting = Waiting(self)

    def call(self, method: str, path: str, body: Any, status: int, person: str = PERSON) -> Any:
        """One request of the API; its answer. One connection a thread: a new one for each would be ours."""
        if not hasattr(self._local, "connection"):
            url = self._host.client.base_url
            self._local.connection = HTTPConnection(url.host, url.port or 80, timeout=60)
        connection: HTTPConnection = self._local.connection
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, f"/api/{path}", data, {"X-Sluice-Person": person})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != status:
            raise RunFailed(f"{method} {path} answered {answer.status}: {text.decode()[:2000]}")
        return json.loads(text)

    def begin(self, workflow: str, inputs: dict[str, Any]) -> str:
        """Start a run; its id."""
        path = f"workflows/{workflow}/runs"
        return str(self.call("POST", path, {"inputs": inputs, "reason": "benchmark"}, 202)["id"])

    def states(self, workflow: str) -> dict[str, int]:
        """How many runs of a workflow are in each state."""
        query = "SELECT state, count(*) FROM sluice.workflow_run WHERE workflow = %s GROUP BY 1"
        return dict(self._database.execute(query, [workflow]).fetchall())

    def many[T](self, work: Any, arguments: Sequence[T]) -> list[Any]:
        """Call `work` with each argument, several at a time, as that many callers would."""
        with ThreadPoolExecutor(CALLERS) as threads:
            return list(threads.map(work, arguments))

    def await_states(self, workflow: str, state: str, count: int) -> None:
        """Return when so many runs of the workflow are in the state."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (states := self.states(workflow)).get(state, 0) < count:
            if states.get("FAILED") or time.monotonic() > deadline:
                raise RunFailed(f"Not all runs of {workflow} became {state}: {states}. {self._failure()}")
            time.sleep(_POLL_ALL_SECONDS)

    def await_told(self) -> None:
        """Return when nobody is left to be told of an approval."""
        query = "SELECT FROM sluice.notification WHERE state = 'PENDING' LIMIT 1"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.rows(query):
            if time.monotonic() > deadline:
                raise RunFailed(f"Not everybody was told. {self._failure()}")
            time.sleep(_POLL_ALL_SECONDS)

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """What the engine's database answers."""
        return self._database.execute(query).fetchall()

    def start(self, unit: str) -> str:
        """POST returns when the run is committed."""
        return self.begin(definitions.RUN, {"unit": unit})

    def finish(self, handle: str) -> None:
        """Ask the run's row, as a caller of the API would: often at first, then less, or asking would be part
        of the work."""
        query = "SELECT state FROM sluice.workflow_run WHERE id = %s"
        began = time.monotonic()
        while (waited := time.monotonic() - began) < _PATIENCE_SECONDS:
            row = self._database.execute(query, [handle]).fetchone()
            if row is not None and row[0] in _ENDED:
                break
            time.sleep(max(_POLL_SECONDS, waited * _POLL_SHARE))
        if row is None or row[0] != "SUCCEEDED":
            raise RunFailed(f"Run {handle} is {row and row[0]}. {self._failure()}")

    def run_all(self, units: Sequence[str]) -> None:
        """All at once, from several callers."""
        before = self.states(definitions.RUN).get("SUCCEEDED", 0)
        self.many(self.start, units)
        self.await_states(definitions.RUN, "SUCCEEDED", before + len(units))

    def fan_out(self, group: str, count: int) -> None:
        """One run that dispatches."""
        self.finish(self.begin(fanning.workflow(self._batch), {"unit": group, "chunks": count}))

    def suspend_all(self, units: Sequence[str]) -> None:
        """Runs that wait for a person."""
        self.waiting.suspend_all(units)

    def signal(self, unit: str) -> None:
        """What that person does."""
        self.waiting.signal(unit)

    def processes(self) -> list[int]:
        """The host and its workers."""
        process = psutil.Process(self._host.process.pid)
        return [process.pid, *(child.pid for child in process.children(recursive=True))]

    def publish(self, place: Place) -> None:
        """Connector and workflows."""
        address = {name: place.services["sink"][name] for name in ("host", "port", "database", "user")}
        self.call("PUT", f"connectors/{definitions.CONNECTOR}", definitions.connector(address), 201)
        for definition in (definitions.run_definition(), definitions.wait_definition()):
            self.call("POST", "workflows", definition.encode(), 201)
        if self._batch:
            self.call("POST", "workflows", fanning.definition(self._batch).encode(), 201)

    def _failure(self) -> str:
        query = "SELECT failure FROM sluice.workflow_run WHERE failure IS NOT NULL LIMIT 1"
        row = self._database.execute(query).fetchone()
        return f"A failure: {row[0]}" if row else f"The end of the host's log: {self._host.log()[-2000:]}"


@contextmanager
def opening(place: Place) -> Iterator[Sluice]:
    """The deployment, started and stopped."""
    upgrade(Secret(place.services["owner_url"]), databases.APP)
    Blobs(Secret(place.services["storage"])).ensure_containers()
    with psycopg.connect(place.sink_url, autocommit=True) as sink:
        sink.execute(definitions.SCHEMA)
    with (
        HostProcess(REPOSITORY, place.folder, environment=_environment(place)) as host,
        psycopg.connect(place.database_url, autocommit=True) as database,
    ):
        engine = Sluice(host, database, int(place.variant or 0))
        engine.publish(place)
        yield engine


def _environment(place: Place) -> dict[str, str]:
    vault = place.folder / "vault.json"
    vault.touch(mode=0o600)
    vault.write_text(json.dumps({"desk-password": place.services["sink"]["password"]}))
    return {
        "AzureWebJobsStorage": place.services["storage"],
        "DATABASE_URL": place.services["app_url"],
        "PYTHON_THREADPOOL_THREAD_COUNT": "8",
        "FUNCTIONS_WORKER_PROCESS_COUNT": str(WORKERS),
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "SLUICE_ENVIRONMENT": "sandbox",
        "SLUICE_IDENTITY": "local",
        "SLUICE_KEY_ENCRYPTION_KEY": base64.b64encode(b"k" * 32).decode(),
        "SLUICE_SECRETS_FILE": str(vault),
        "SLUICE_TASK_HUB": "bench",
        "WEBSITE_AUTH_ENABLED": "false",
        SETTING: place.services["hub_url"],
    }


if __name__ == "__main__":
    drive(opening)
