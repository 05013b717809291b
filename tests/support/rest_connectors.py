"""Connectors of the REST adapter to the ERP server, one operation for each of its resources."""

from collections.abc import Mapping
from typing import Any

from adapters.contract import Adapter, Connector
from adapters.registry import get_adapter
from tests.support.adapters import Vault
from tests.support.erp_server.client import ErpServer

SANDBOX = "sandbox"
TOKEN = "canary-bearer-90210"
COLUMNS: Mapping[str, str] = {"project": "text", "work_date": "date", "amount": "decimal(12,2)"}
_BY_ADDRESS = {"path": "/upserts/lines/{key}", "id": "id"}
_ERRORS = {"message": "error.message"}


def _search(resource: str) -> dict[str, Any]:
    return {
        "path": f"/{resource}/lines",
        "query": {"posting_key": "{key}"},
        "record": "items",
        "id": "id",
        "key": "posting_key",
    }


def _single(resource: str, columns: Mapping[str, str], **details: Any) -> dict[str, Any]:
    return {"push": f"/{resource}/lines", "columns": dict(columns), "answer": {"id": "id"}, **details}


def _batch(resource: str, columns: Mapping[str, str], **details: Any) -> dict[str, Any]:
    answer = {
        "results": "results",
        "key": "posting_key",
        "id": "id",
        "error": "error.message",
        "present": {"field": "present"},
    }
    return {
        "push": f"/{resource}/batches",
        "columns": dict(columns),
        "body": "lines",
        "batch_size": 50,
        "key": {"field": "posting_key"},
        "answer": answer,
        **details,
    }


def pushes(columns: Mapping[str, str] = COLUMNS) -> dict[str, Any]:
    """One operation per idempotency class, single and in batches: `keyed`, `keyed_batch` and so on."""
    present = {"id": "id", "present": {"status": 200}}
    replayed = {"id": "id", "present": {"header": "Idempotent-Replayed"}}
    key_in_header = {"header": "Idempotency-Key"}
    return {
        "keyed": _single(
            "keyed", columns, idempotency="native", key=key_in_header, find=_search("keyed"), answer=replayed
        ),
        "keyed_batch": _batch("keyed", columns, idempotency="native", find=_search("keyed")),
        "upserts": {
            **_single("upserts", columns, idempotency="native", key={"path": True}, find=_BY_ADDRESS),
            "push": "/upserts/lines/{key}",
            "method": "PUT",
            "overwrites": True,
            "answer": present,
        },
        "upserts_batch": _batch(
            "upserts", columns, idempotency="native", overwrites=True, find=_search("upserts")
        ),
        "searchable": _single(
            "searchable",
            columns,
            idempotency="lookup",
            key={"field": "posting_key"},
            find=_search("searchable"),
        ),
        "searchable_batch": _batch("searchable", columns, idempotency="lookup", find=_search("searchable")),
    }


def sinks(columns: Mapping[str, str] = COLUMNS) -> dict[str, Any]:
    """Operations of the resource that recognises nothing."""
    return {
        "sink": _single("sink", columns, key={"field": "posting_key"}, answer={}),
        "sink_batch": _batch("sink", columns),
    }


def connector(server: ErpServer, operations: Mapping[str, Any] | None = None, **changes: Any) -> Connector:
    """A connector that signs in with `TOKEN`; by default with all pushes."""
    settings = {
        "base_url": server.url,
        "auth": "bearer",
        "timeout": 5,
        "errors": _ERRORS,
        "operations": {**pushes(), **sinks()} if operations is None else dict(operations),
        **changes,
    }
    secrets = {"token": "erp-token"} if settings["auth"] == "bearer" else {}
    return Connector("erp", "rest", settings, secrets)


def vault() -> Vault:
    """The vault with the token."""
    return Vault({"erp-token": TOKEN})


def adapter(server: ErpServer, operations: Mapping[str, Any] | None = None, **changes: Any) -> Adapter:
    """An adapter of such a connector; close it."""
    return get_adapter(connector(server, operations, **changes), SANDBOX, vault())
