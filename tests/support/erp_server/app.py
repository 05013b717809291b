"""The ERP's HTTP interface and the tests' control over it."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tests.support.erp_server.exact import json_response, read_marked, read_text
from tests.support.erp_server.faults import Fault, Faults
from tests.support.erp_server.hazards import struck
from tests.support.erp_server.ledger import Ledger
from tests.support.erp_server.paging import page
from tests.support.erp_server.resources import (
    KEY_FIELD,
    Reply,
    Stored,
    refused,
    write_batch,
    write_one,
    write_strictly,
)


class Erp:
    """The state of one server: its ledger is on disk, all else is gone with the process."""

    def __init__(self, ledger_path: Path) -> None:
        self.ledger = Ledger(ledger_path)
        self.faults = Faults()
        self.records: dict[str, list[Any]] = {}
        self.required: dict[str, str] = {}
        self.tokens_granted = 0
        self.token_seconds = 3600
        self.requests = 0
        self.at_once = self.most_at_once = 0

    async def business(self, request: Request) -> Response:
        """Any request of a client, counted."""
        self.requests += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._business(request)
        finally:
            self.at_once -= 1

    async def _business(self, request: Request) -> Response:
        """Faults first, then the sign-in, then the work."""
        resource = request.path_params.get("resource", "reads")
        fault = self.faults.take(resource, request.method)

        async def process() -> Response:
            reply = self._refuse_sign_in(request) or await self._work(request, resource)
            return json_response(reply.status, reply.body, reply.headers)

        return await process() if fault is None else await struck(fault, request, process)

    async def pages(self, request: Request) -> Response:
        """Lists of records that the test put there."""
        self.requests += 1

        async def process() -> Response:
            if reply := self._refuse_sign_in(request):
                return json_response(reply.status, reply.body)
            records = self.records.get(request.path_params["name"], [])
            return page(request.path_params["style"], records, request)

        fault = self.faults.take("reads", request.method)
        return await process() if fault is None else await struck(fault, request, process)

    async def record(self, request: Request) -> Response:
        """One record by the value of a field."""
        field, value = request.path_params["field"], request.path_params["value"]
        records = self.records.get(request.path_params["name"], [])
        found = next((record for record in records if str(record.get(field)) == value), None)
        return json_response(404, None) if found is None else json_response(200, found)

    async def redirect(self, request: Request) -> Response:
        """Elsewhere, by default here again."""
        return RedirectResponse(request.query_params.get("to", "/redirect"), 302)

    async def large(self, request: Request) -> Response:
        """An answer of as many bytes as asked for."""
        return json_response(200, ["x" * int(request.query_params["bytes"])])

    async def token(self, request: Request) -> Response:
        """OAuth 2 client credentials; every token but the last is refused."""
        form = parse_qs((await request.body()).decode())
        if form.get("grant_type") != ["client_credentials"]:
            return json_response(400, {"error": "unsupported_grant_type"})
        self.tokens_granted += 1
        token = f"token-canary-{self.tokens_granted}"
        self.required = {"authorization": f"Bearer {token}"}
        return json_response(200, {"access_token": token, "expires_in": self.token_seconds})

    async def control(self, request: Request) -> Response:
        """What tests switch: faults, records, sign-in."""
        data = read_marked(await request.body())
        for name, value in data.items():
            if name == "faults":
                for fault in value:
                    self.faults.add(Fault.from_dict({**fault, **_numbers(fault)}))
            elif name == "clear_faults":
                self.faults.clear()
            elif name == "records":
                self.records |= value
            else:
                setattr(self, name, value)
        return await self.state(request)

    async def state(self, request: Request) -> Response:
        """What tests ask for."""
        return json_response(
            200,
            {
                "requests": self.requests,
                "most_at_once": self.most_at_once,
                "tokens_granted": self.tokens_granted,
                "faults_taken": self.faults.taken,
                "late": request.app.state.late,
            },
        )

    def _refuse_sign_in(self, request: Request) -> Reply | None:
        for name, value in self.required.items():
            if request.headers.get(name) != value:
                return refused(401, f"Wrong credentials: {request.headers.get(name)}")
        return None

    async def _work(self, request: Request, resource: str) -> Reply:
        key = request.path_params.get("key") or request.headers.get("idempotency-key", "")
        if request.method == "GET":
            return self._find(request, resource, key)
        try:
            data = read_text(await request.body())
        except ValueError:
            return refused(400, "That is not JSON")
        if request.url.path.endswith("/batches"):
            return write_batch(self.ledger, resource, data["lines"])
        if request.url.path.endswith("/strict-batches"):
            return write_strictly(self.ledger, resource, data["lines"])
        return write_one(self.ledger, resource, key, data)

    def _find(self, request: Request, resource: str, key: str) -> Reply:
        if key:
            line = self.ledger.under(resource, key)
            return refused(404, "No such line") if line is None else Reply(200, Stored(line, True).told())
        wanted = request.query_params.get(KEY_FIELD, "")
        lines = [line for line in self.ledger.all(resource) if line.key.startswith(wanted)]
        return Reply(200, {"items": [Stored(line, True).told() for line in lines]})


def _numbers(fault: dict[str, Any]) -> dict[str, float]:
    """`read_marked` keeps decimals as text."""
    names = ("seconds", "probability")
    return {name: float(str(fault[name]).strip("\x00")) for name in names if fault.get(name) is not None}


def make_app(ledger_path: Path) -> Starlette:
    """The server's application."""
    erp = Erp(ledger_path)
    app = Starlette(
        routes=[
            Route("/", erp.state),
            Route("/control", erp.control, methods=["POST"]),
            Route("/oauth/token", erp.token, methods=["POST"]),
            Route("/pages/{style}/{name}", erp.pages),
            Route("/records/{name}/{field}/{value}", erp.record),
            Route("/redirect", erp.redirect),
            Route("/large", erp.large),
            Route("/{resource}/lines", erp.business, methods=["GET", "POST"]),
            Route("/{resource}/lines/{key}", erp.business, methods=["GET", "PUT"]),
            Route("/{resource}/batches", erp.business, methods=["POST"]),
            Route("/{resource}/strict-batches", erp.business, methods=["POST"]),
        ]
    )
    app.state.late = 0
    return app
