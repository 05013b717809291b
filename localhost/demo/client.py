"""The demo's HTTP client: a caller of the API like any other."""

import json
from typing import Any
from urllib.parse import quote

import httpx2

from kernel.errors import Fault, SluiceError, Unavailable

TIMEOUT_SECONDS = 60.0
PERSON = "ada"
"""The test person whom the demo acts as."""
REASON = "demo"
"""Why the demo starts runs: by that it knows them again."""
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


class RequestRefused(SluiceError):
    """The API answered with a problem."""

    code = "refused"


class Api:
    """Calls the API at `base_url`. Problems become `RequestRefused` with the server's words."""

    def __init__(self, base_url: str) -> None:
        headers = {"X-Sluice-Person": PERSON}
        self._http = httpx2.Client(base_url=f"{base_url}/api/", timeout=TIMEOUT_SECONDS, headers=headers)

    def save_connector(self, key: str, connector: dict[str, Any]) -> None:
        """Create or replace a connector."""
        self._call("PUT", f"connectors/{key}", json=connector)

    def save_object_type(self, name: str, object_type: dict[str, Any]) -> None:
        """Create or replace a business object type."""
        self._call("PUT", f"object-types/{name}", json=object_type)

    def publish(self, definition: str) -> dict[str, Any]:
        """Publish a workflow."""
        return self._call("POST", "workflows", content=definition.encode())

    def workflows(self) -> list[dict[str, Any]]:
        """The workflows that are published."""
        items: list[dict[str, Any]] = self._call("GET", "workflows")["items"]
        return items

    def upload(self, name: str, data: bytes) -> dict[str, Any]:
        """Upload a file; the same bytes under the same name are fine."""
        return self._call("PUT", f"files/{quote(name)}", content=data)

    def start(self, workflow: str, inputs: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
        """Start a run."""
        body = {"inputs": inputs, "reason": REASON}
        headers = {"Idempotency-Key": idempotency_key}
        return self._call("POST", f"workflows/{workflow}/runs", json=body, headers=headers)

    def run(self, run_id: str) -> dict[str, Any]:
        """One run with its tasks."""
        return self._call("GET", f"runs/{run_id}")

    def left_open(self, workflow: str) -> list[str]:
        """Runs of earlier demos that have not ended: somebody has killed those."""
        found = self._call("GET", f"runs?workflow={workflow}&limit=200")["items"]
        mine = [run for run in found if run["state"] not in ENDED and run["reason"] == REASON]
        return [run["id"] for run in mine if run["state"] != "SUSPENDED" or run["waits_for"]]

    def waiting(self, run_id: str) -> list[dict[str, Any]]:
        """What the run asks people, oldest first."""
        found: list[dict[str, Any]] = self._call("GET", f"approvals?run={run_id}&state=requested")["items"]
        return found[::-1]

    def standing(self, approval_id: str) -> dict[str, Any]:
        """Where a request for approval stands, with all decisions."""
        return self._call("GET", f"approvals/{approval_id}")

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **content)
        except httpx2.TransportError as exc:
            raise Unavailable(
                f"The API at {self._http.base_url} stopped answering ({type(exc).__name__}). See the host's "
                "log and start the demo again: nothing is posted twice."
            ) from exc
        return self._answer(response)

    @staticmethod
    def _answer(response: httpx2.Response) -> dict[str, Any]:
        try:
            body: dict[str, Any] = response.json()
        except json.JSONDecodeError as exc:
            raise RequestRefused(f"The API answered {response.status_code} without JSON.") from exc
        if response.is_error:
            faults = [Fault(**fault) for fault in body.get("errors", [])]
            raise RequestRefused(body.get("detail", f"Status {response.status_code}."), faults=faults)
        return body
