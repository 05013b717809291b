"""A deployment in which everything happens that can happen to sensitive records, and all that it left."""

import base64
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx2
import psycopg

from activities.adapter_pool import AdapterPool
from adapters.contract import Adapter, Connector
from adapters.registry import get_adapter
from localhost.demo.client import PERSON as CALLER
from localhost.host.hub_database import SETTING
from store.vault import FileVault
from tests.host.process import HostProcess
from tests.secrecy.canaries import (
    BORN,
    EDITED,
    HIGH_SALARY,
    MISFIT,
    NATIONAL,
    NEGATIVE_SALARY,
    OTHER_WORKER,
    SALARY,
    SECRETS,
    WORKER,
)
from tests.secrecy.careless import Careless, How
from tests.secrecy.places import Place, blob_places, database_places, file_places
from tests.secrecy.workflows import (
    AUTHS,
    COLUMNS,
    PERSON,
    READS,
    SQL_TABLE,
    connectors,
    definitions,
)
from tests.support.erp_server.client import ErpServer
from tests.support.erp_server.faults import FaultKind
from tests.support.eventually import eventually
from tests.support.services import PROJECT
from tests.support.world import World, drive, one_segment
from triggers.blueprint import ENDPOINTS

ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
FINE = ("P1", WORKER, NATIONAL, BORN, SALARY)
OTHER = ("P2", OTHER_WORKER, "QX-1", "1970-01-02", "100.00")
TOO_HIGH = ("P3", OTHER_WORKER, "QX-2", "1970-01-02", HIGH_SALARY)
NEGATIVE = ("P4", OTHER_WORKER, "QX-3", "1970-01-02", NEGATIVE_SALARY)
TWICE = ("P1", WORKER, NATIONAL, BORN, "7.00")


@dataclass(frozen=True)
class Sites:
    """Where the deployment keeps what it writes."""

    app_url: str = field(repr=False)
    owner_url: str = field(repr=False)
    hub_url: str = field(repr=False)
    storage: str = field(repr=False)
    folder: Path


class _Records(logging.Handler):
    """All log records of this process, as text with their fields."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.getMessage()} {vars(record)} {self.format(record)}")


def _careless(make: Callable[[Connector], Adapter], how: How, connector: Connector) -> Adapter:
    return cast(Adapter, Careless(make(connector), how))


class Scene:
    """Drives the deployment over its API and, in this process, with adapters that misbehave."""

    def __init__(self, sites: Sites, world: World, erp: ErpServer, secrets: Mapping[str, str]) -> None:
        self.sites, self.world, self.erp = sites, world, erp
        self.uploaded: set[str] = set()
        self.answers: list[Place] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self._files = 0
        self._log = _Records()
        self.vault = sites.folder / "vault.json"
        self.vault.touch(mode=0o600)
        self.vault.write_text(json.dumps(secrets))
        self.host = HostProcess(PROJECT, sites.folder, environment=self._environment())
        self.host.client.headers["X-Sluice-Person"] = CALLER

    def play(self) -> None:
        """Let everything happen."""
        logging.getLogger().addHandler(self._log)
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.DEBUG)
        try:
            self.host.wait_until_ready()
            self._register()
            self._reads()
            self._runs_that_fail()
            self._runs_with_a_difficult_erp()
            self._operators()
            self._people_with_dead_letters()
            self._people_who_are_asked()
            self._careless_adapters()
            self._refused_requests()
            self._look_at_everything()
        finally:
            logging.getLogger().removeHandler(self._log)
            logging.getLogger().setLevel(level)
            self.host.close()

    def places(self) -> list[Place]:
        """Everything that was written or said."""
        host_files = [
            place
            for place in file_places(self.sites.folder, "host folder")
            if place.name != f"host folder: {self.vault.name}"
        ]
        return [
            *database_places(self.sites.owner_url, "database"),
            *database_places(self.sites.hub_url, "task hub"),
            *blob_places(self.sites.storage),
            *host_files,
            *(Place("log records", text.encode()) for text in self._log.texts),
            *self.answers,
        ]

    # What happens ---------------------------------------------------------------------------------

    def _register(self) -> None:
        address = psycopg.conninfo.conninfo_to_dict(self.world.erp_url)
        with psycopg.connect(self.world.erp_url) as connection:
            connection.execute(SQL_TABLE.format(worker=MISFIT).encode())
        places = {"host": address["host"], "port": int(address["port"] or 0), "database": address["dbname"],
                  "user": address["user"]}  # fmt: skip
        for key, connector in connectors(self.erp, places).items():
            self._fine("PUT", f"connectors/{key}", json=connector)
        self._fine("PUT", "object-types/person", json={"schema": PERSON})
        for text in definitions().values():
            self._fine("POST", "workflows", content=text.encode())
        row = dict(zip(COLUMNS, FINE, strict=True))
        self.erp.put_records("people", [row])
        self.erp.put_records("misfits", [row, {**row, "salary": MISFIT}])

    def _reads(self) -> None:
        for key, *_ in READS:
            fine = key == "lookup-person" or key in {f"fetch-{auth}" for auth in AUTHS}
            self.run(key, [], expect="SUCCEEDED" if fine else "FAILED")
            self.erp.control(required={})
        self.erp.control(required={"authorization": "nobody"})
        for auth in AUTHS:
            if auth == "header":
                self.erp.control(required={"x-api-key": "nobody"})
            self.run(f"lookup-{auth}", [], expect="FAILED")
            self.run(f"fetch-{auth}", [], expect="SUCCEEDED" if auth == "oauth" else "FAILED")
            self.erp.control(required={"authorization": "nobody"})
        self.erp.control(required={})

    def _runs_that_fail(self) -> None:
        for key in ("bad-file", "bad-column", "bad-cast", "bad-gate", "denied", "wrong-files", "wrong-sql"):
            self.run(key, [FINE, OTHER], expect="FAILED")
        self.run("refusing-sql", [FINE, OTHER], expect="FAILED")
        self.run("strict", [FINE, TOO_HIGH], expect="FAILED")
        self.run("strict", [FINE, NEGATIVE], expect="FAILED")

    def _runs_with_a_difficult_erp(self) -> None:
        self.run("good", [FINE, OTHER, TOO_HIGH, NEGATIVE, TWICE], expect="SUCCEEDED")
        self.run("good", [FINE, OTHER], expect="SUCCEEDED")  # already posted
        self.run("unkeyed", [("P9", "", "", "", "1.00"), FINE, FINE], expect="SUCCEEDED")
        self.erp.fault(FaultKind.BUSY, "keyed", status=503)
        self.run("good", [("P5", *FINE[1:])], expect="SUCCEEDED")
        self.erp.fault(FaultKind.ECHO, "keyed", times=5)
        self.run("good", [("P6", *FINE[1:])], expect="SUCCEEDED")
        self.erp.clear_faults()
        self.erp.fault(FaultKind.RESET_AFTER, "sink")
        self.run("doubtful", [FINE], expect="FAILED")
        for kind in (FaultKind.ERROR_BODY, FaultKind.TRUNCATED, FaultKind.WRONG_TYPE, FaultKind.FAILED):
            self.erp.fault(kind, "keyed", times=2)
            self.run("good", [(f"P7-{kind}", *FINE[1:])])
            self.erp.clear_faults()

    def _operators(self) -> None:
        failed = self.runs["strict"]["id"]
        for action in ("retry", "replay"):
            self.call("POST", f"runs/{failed}/{action}?forecast=true", json={"reason": "why"})
            again = self._fine("POST", f"runs/{failed}/{action}", json={"reason": "why"})
            self._ended(again["id"])
        self._pause("cancelled", "P8")
        self.call("POST", f"runs/{self.runs['cancelled']['id']}/cancel", json={"reason": "why"})
        self.runs["cancelled"] = self._ended(self.runs["cancelled"]["id"])
        self._pause("paused", "P9")
        for posting in self.call("GET", "postings?state=IN_DOUBT")["items"]:
            body = {"outcome": "confirmed", "external_id": "E-1", "reason": "why"}
            self.call("POST", f"postings/{posting['id']}/resolve", json=body)

    def _pause(self, name: str, project: str) -> None:
        """A run that is paused after its first write."""
        self.erp.fault(FaultKind.SLOW, "keyed", seconds=1)
        started = self.start("good", [(project, *FINE[1:])])
        eventually(lambda: self._state(started) == "RUNNING", what="the run runs")
        self._fine("POST", f"runs/{started}/pause", json={"reason": "why"})
        eventually(lambda: self._state(started) == "SUSPENDED", what="the run is paused")
        self.runs[name] = self.call("GET", f"runs/{started}")

    def _people_with_dead_letters(self) -> None:
        salary = f"{HIGH_SALARY} of {EDITED}"
        wrong = {"edit": {"worker": EDITED, "salary": salary}, "reason": "why"}
        assert "errors" in self.call("POST", f"dead-letters/{self._open_letter('lines')}/retry", json=wrong)
        for salary in (HIGH_SALARY, "9.00"):  # set aside again, then good
            edited = {"edit": {"worker": EDITED, "salary": salary}, "reason": "why"}
            again = self._fine("POST", f"dead-letters/{self._open_letter('lines')}/retry", json=edited)
            self._ended(again["id"])
        self._fine("POST", f"dead-letters/{self._open_letter('post')}/discard", json={"reason": "why"})

    def _people_who_are_asked(self) -> None:
        """One batch is approved, one rejected and asked about again with other records, which waits."""
        approved = self._asked([("Q1", *FINE[1:])])
        self._decide(approved, "approve")
        self.runs["asked and approved"] = self._ended(approved)
        rejected = self._asked([("Q2", *FINE[1:]), ("Q3", *OTHER[1:])])
        self._decide(rejected, "reject")
        self._ended(rejected)
        name = self.call("GET", f"runs/{rejected}")["inputs"]["file"]
        rows = [("Q2", *FINE[1:]), ("Q4", *OTHER[1:])]
        lines = "\n".join([",".join(COLUMNS), *(",".join(row) for row in rows), ""])
        self.world.services.blobs.write("files", name, lines.encode(), overwrite=True)
        self._fine("POST", f"runs/{rejected}/retry", json={"reason": "why"})
        eventually(lambda: self._state(rejected) == "SUSPENDED", what="it asks again")
        self.runs["asked again"] = self.call("GET", f"runs/{rejected}")
        for approval in self._fine("GET", "approvals?limit=200")["items"]:
            self._fine("POST", f"approvals/{approval['id']}/comments", json={"text": "Which week?"})
            self.page(f"approvals/{approval['id']}")
            if approval["state"] == "REQUESTED":  # the records of others are gone with their run's key
                self.page(f"approvals/{approval['id']}/lines.csv?step=post")
        self.page("approvals")

    def _asked(self, rows: Sequence[Sequence[str]]) -> str:
        run_id = self.start("asked", rows)
        eventually(lambda: self._state(run_id) == "SUSPENDED", within=20, what="people are asked")
        return run_id

    def _decide(self, run_id: str, decision: str) -> None:
        approval = self._fine("GET", f"approvals?run={run_id}&state=requested")["items"][0]
        body, headers = {"decision": decision, "reason": "why"}, {"X-Sluice-Person": "carla"}
        path = f"/api/approvals/{approval['id']}/decisions"
        assert self.host.client.post(path, json=body, headers=headers).status_code == 200

    def page(self, path: str) -> None:
        """A page as somebody sees it who was not asked."""
        answer = self.host.client.get(f"/{path}")
        assert answer.status_code == 200, (path, answer.status_code)
        self.answers.append(Place(f"answer: page {path}", f"{answer.headers} {answer.text}".encode()))

    def _open_letter(self, step: str) -> str:
        """The newest dead letter of a step that waits for someone."""
        letters = self._fine("GET", f"dead-letters?state=OPEN&step={step}")["items"]
        return str(letters[0]["id"])

    def _careless_adapters(self) -> None:
        make = partial(get_adapter, environment="sandbox", credentials=FileVault(self.vault))
        for number, how in enumerate(How):
            for definition in ("good", "strict"):
                run = self.world.start(definition, file=self.upload([(f"C{number}{definition}", *FINE[1:])]))
                adapters = AdapterPool(partial(_careless, make, how), most=0)
                drive(replace(self.world.services, adapters=adapters), run.id)
                self.runs[f"careless {how} {definition}"] = self.call("GET", f"runs/{run.id}")
        halfway = self.world.start("good", file=self.upload([("P10", *FINE[1:])]))
        one_segment(replace(self.world.services, adapters=AdapterPool(make, most=0)), halfway.id)
        self.runs["halfway"] = self.call("GET", f"runs/{halfway.id}")  # its context is there to be searched
        poison = self.world.start("good", file=self.upload([FINE]))
        self._owner("UPDATE sluice.workflow_run SET starts = 99 WHERE id = %s", poison.id)
        one_segment(self.world.services, poison.id)
        self.runs["poison"] = self.call("GET", f"runs/{poison.id}")

    def _refused_requests(self) -> None:
        pasted = SECRETS["pasted-password"]
        rest = {"base_url": self.erp.url, "operations": {}}
        for settings in (
            {**rest, "password": pasted},
            {**rest, "base_url": f"http://me:{pasted}@127.0.0.1"},
            {**rest, "auth": {"basic": "me", "password": pasted}},
            {**rest, "auth": pasted},
            {**rest, "headers": {"Authorization": f"Bearer {pasted}"}},
            {**rest, "timeout": pasted},
        ):
            body = {"system": "rest", "settings": settings}
            assert "errors" in self.call("PUT", "connectors/refused", json=body), settings
        literal = definitions()["good"].replace("path:", f"password: '{pasted}'\n        path:")
        assert "errors" in self.call("POST", "workflows", content=literal.encode())

    def _look_at_everything(self) -> None:
        ids = [run["id"] for run in self.runs.values()]
        listed = [run["id"] for run in self.call("GET", "runs?limit=200")["items"]]
        assert set(ids) <= set(listed)
        members: Mapping[str, Sequence[str]] = {
            "runs/": listed,
            "postings/": self._ids("postings"),
            "dead-letters/": self._ids("dead-letters"),
            "approvals/": self._ids("approvals"),
            "chunks/": [
                row["id"] for run in listed for row in self.call("GET", f"runs/{run}/chunks")["items"]
            ],
            "connectors/": [row["key"] for row in self.call("GET", "connectors")["items"]],
            "workflows/": [row["key"] for row in self.call("GET", "workflows?limit=200")["items"]],
        }
        for endpoint in ENDPOINTS:
            if endpoint.method == "GET" and "{" not in endpoint.path:
                self.call("GET", endpoint.path + ("?limit=200" if "limit" in endpoint.query else ""))
            elif endpoint.method == "GET":
                prefix = endpoint.path.partition("{")[0]
                for member in members[prefix]:
                    self.call("GET", endpoint.path.replace("{id}", member).replace("{key}", member))
        self.call("GET", "openapi.json")

    # How it is done -------------------------------------------------------------------------------

    def run(self, workflow: str, rows: Sequence[Sequence[str]], *, expect: str = "") -> None:
        """One run to its end."""
        run = self._ended(self.start(workflow, rows))
        assert not expect or run["state"] == expect, (workflow, run["state"], run["failure"])
        self.runs[workflow if workflow not in self.runs else f"{workflow} {len(self.runs)}"] = run

    def start(self, workflow: str, rows: Sequence[Sequence[str]]) -> str:
        """The id of a new run."""
        body = {"inputs": {"file": self.upload(rows)}, "reason": "test"}
        return str(self._fine("POST", f"workflows/{workflow}/runs", json=body)["id"])

    def upload(self, rows: Sequence[Sequence[str]]) -> str:
        """The name of a new file with the rows."""
        self._files += 1
        name = f"secrecy/{self.sites.folder.name}/{self._files}.csv"
        lines = "\n".join([",".join(COLUMNS), *(",".join(row) for row in rows), ""])
        self.call("PUT", f"files/{name}", content=lines.encode())
        self.uploaded.add(f"blob: files/{name}")
        return name

    def call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """The answer's body; whatever the status, the answer is kept."""
        answer: httpx2.Response = self.host.client.request(method, f"/api/{path}", **content)
        self.answers.append(Place(f"answer: {method} {path}", f"{answer.headers} {answer.text}".encode()))
        body: dict[str, Any] = answer.json() if answer.content else {}
        return body

    def _fine(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        body = self.call(method, path, **content)
        assert "errors" not in body, body
        return body

    def _ids(self, path: str) -> list[str]:
        return [row["id"] for row in self.call("GET", f"{path}?limit=200")["items"]]

    def _ended(self, run_id: str) -> dict[str, Any]:
        eventually(lambda: self._state(run_id) in ENDED, within=40, what=f"the run {run_id} ends")
        return self.call("GET", f"runs/{run_id}")

    def _state(self, run_id: str) -> str:
        query = "SELECT state FROM sluice.workflow_run WHERE id = %s"
        return str(self.world.sql(query, [UUID(run_id)])[0][0])

    def _owner(self, statement: str, *parameters: Any) -> None:
        with psycopg.connect(self.world.owner_url) as connection:
            connection.execute(statement.encode(), parameters)

    def _environment(self) -> dict[str, str]:
        return {
            "AzureWebJobsStorage": self.sites.storage,
            "DATABASE_URL": self.sites.app_url,
            "PYTHONUNBUFFERED": "1",
            "SLUICE_ENVIRONMENT": "sandbox",
            "SLUICE_IDENTITY": "local",
            "SLUICE_KEY_ENCRYPTION_KEY": base64.b64encode(b"k" * 32).decode(),
            "SLUICE_SECRETS_FILE": str(self.vault),
            "SLUICE_TASK_HUB": "secrecy",
            "WEBSITE_AUTH_ENABLED": "false",
            SETTING: self.sites.hub_url,
            "PATH": os.environ.get("PATH", ""),
        }
