"""The whole application as people meet it: the host serves it, with real services behind it."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from localhost.environment import prepare
from localhost.services.ports import free_port
from localhost.services.stack import Endpoints
from tests.host.process import HostProcess
from tests.support.eventually import eventually
from tests.support.world import EXAMPLES, work_log
from triggers.identity.local import PERSON_HEADER

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = "weekly-labour"
_APPROVE = re.compile(r"- approve:.*?because: [^\n]+\n", re.DOTALL)
_RULE = """- approve: total > 10
          by: [finance-controllers]
          quorum: {quorum}
          due: 48h
          on_timeout: escalate
          escalate: [{{to: [finance-directors], due: 24h}}]
          because: The week comes to ${{{{ total }}}}, which is above 10.00.
"""


@dataclass(frozen=True)
class Deployed:
    """A running deployment."""

    url: str
    endpoints: Endpoints
    api: httpx2.Client

    def register(self) -> None:
        """What the example workflow works with."""
        for path in sorted((EXAMPLES / "connectors").glob("*.json")):
            connector = json.loads(path.read_text())
            if path.stem == "erp":
                connector["settings"] |= {"host": self.endpoints.erp_host, "port": self.endpoints.erp_port}
            self._call("PUT", f"connectors/{path.stem}", json=connector)
        for path in sorted((EXAMPLES / "object_types").glob("*.json")):
            self._call("PUT", f"object-types/{path.stem}", json=json.loads(path.read_text()))

    def ask(self, rows: Sequence[Sequence[str]] | bytes, quorum: int = 1) -> str:
        """The page of a request: a run of the example workflow that waits for people."""
        self._call("POST", "workflows", content=definition(quorum).encode())
        name = f"logs/{uuid4().hex}.csv"
        data = rows if isinstance(rows, bytes) else work_log(rows)
        self._call("PUT", f"files/{name}", content=data)
        run = self._call("POST", f"workflows/{WORKFLOW}/runs", json={"inputs": {"file": name}})
        [request] = eventually(lambda: self._waiting(run["id"]), within=60, what="the run asks people")
        return f"{self.url}/approvals/{request['id']}"

    def request(self, page: str) -> dict[str, Any]:
        """The request of a page."""
        return self._call("GET", f"approvals/{_id(page)}")

    def run_of(self, page: str) -> dict[str, Any]:
        """The run behind a request."""
        return self._call("GET", f"runs/{self.request(page)['run_id']}")

    def decide(self, page: str, person: str, decision: str, reason: str = "") -> None:
        """Somebody decides over the API."""
        said = {"decision": decision, "reason": reason}
        self._call("POST", f"approvals/{_id(page)}/decisions", json=said, headers={PERSON_HEADER: person})

    def comment(self, page: str, person: str, text: str) -> None:
        """Somebody asks or answers over the API."""
        headers = {PERSON_HEADER: person}
        self._call("POST", f"approvals/{_id(page)}/comments", json={"text": text}, headers=headers)

    def _waiting(self, run_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", f"approvals?run={run_id}&state=requested")["items"]
        return found

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        response = self.api.request(method, f"{self.url}/api/{path}", **content)
        assert response.is_success, response.text
        body: dict[str, Any] = response.json()
        return body


def _id(page: str) -> str:
    return page.rpartition("/")[2]


def definition(quorum: int = 1) -> str:
    """The example workflow; people are asked about everything above 10."""
    text = (EXAMPLES / "labour_costs.yaml").read_text()
    text = text.replace("workflow: labour-costs", f"workflow: {WORKFLOW}")
    return _APPROVE.sub(_RULE.format(quorum=quorum), text)


@contextmanager
def deployed(endpoints: Endpoints, folder: Path) -> Iterator[Deployed]:
    """A deployment over these services, stopped at the end."""
    environment = prepare(endpoints, ROOT, folder, lambda _text: None)
    port = free_port()
    environment["SLUICE_PUBLIC_URL"] = f"http://127.0.0.1:{port}"
    with HostProcess(ROOT, folder, options=["--port", str(port)], environment=environment) as host:
        host.client.headers[PERSON_HEADER] = "ada"
        made = Deployed(f"http://127.0.0.1:{port}", endpoints, host.client)
        made.register()
        yield made
