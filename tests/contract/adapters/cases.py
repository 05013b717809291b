"""One case for each operation of each adapter. A new adapter adds its own here; a test looks for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from adapters.contract import Connector
from kernel.records import Record
from kernel.secrets import CredentialProvider
from kernel.verbs import Verb
from tests.support import rest_connectors
from tests.support.adapter_systems import Erp, Share, closed_port
from tests.support.adapters import Vault, workbook
from tests.support.erp_server.client import ErpServer

PASSWORD = "canary5e1f00"


@dataclass(frozen=True)
class Backends:
    """The systems behind the adapters."""

    share: Share
    erp: Erp
    erp_server: ErpServer


@dataclass(frozen=True)
class Case:
    """How to reach an operation that works.

    `parameters` are valid ones; a read with them finds `records`. A push writes `records`; `other` has other
    values than the first of them.
    """

    system: str
    operation: str
    verb: Verb
    connector: Callable[[Backends], tuple[Connector, CredentialProvider]]
    unreachable: Callable[[], tuple[Connector, CredentialProvider]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    other: Record | None = None

    @property
    def id(self) -> str:
        """The name in test reports."""
        return f"{self.system}.{self.operation}"


_RATES: tuple[Record, ...] = (
    {"activity": "Welding", "rate": Decimal("61.50"), "valid_from": date(2026, 1, 1)},
    {"activity": "Painting", "rate": Decimal("48.00"), "valid_from": None},
)
_RATE_TYPES = {"activity": "text", "rate": "decimal(8,2)", "valid_from": "date"}
_OPERATIONS: Mapping[str, Any] = {
    "rates": {
        "fetch": "SELECT * FROM rate WHERE rate >= :least",
        "columns": _RATE_TYPES,
        "parameters": {"least": "decimal(8,2)"},
        "order_by": ["-rate"],
    },
    "rate": {
        "lookup": "SELECT * FROM rate WHERE activity = :activity",
        "columns": _RATE_TYPES,
        "parameters": {"activity": "text"},
    },
    "add_rates": {"push": "new_rate", "columns": _RATE_TYPES, "key_column": "posting_key", "id_column": "id"},
}
_TABLES = """
    CREATE TABLE IF NOT EXISTS rate (activity text, rate numeric(8, 2), valid_from date);
    TRUNCATE rate;
    INSERT INTO rate VALUES ('Welding', 61.50, '2026-01-01'), ('Painting', 48.00, NULL);
    CREATE TABLE IF NOT EXISTS new_rate (
        id bigint GENERATED ALWAYS AS IDENTITY, posting_key text UNIQUE,
        activity text, rate numeric(8, 2), valid_from date
    );
"""


def _share_with_files(backends: Backends) -> tuple[Connector, CredentialProvider]:
    share = backends.share
    share.upload("rates.csv", "activity,rate,valid_from\nWelding,61.50,2026-01-01\nPainting,48.00,\n")
    share.upload(
        "rates.xlsx",
        workbook({"Rates": [list(_RATE_TYPES), ["Welding", 61.5, date(2026, 1, 1)], ["Painting", 48, None]]}),
    )
    return share.connector(), share.vault


def _erp_with_rates(backends: Backends) -> tuple[Connector, CredentialProvider]:
    erp = backends.erp
    erp.run(_TABLES)
    return erp.connector(_OPERATIONS), erp.vault


def _no_storage() -> tuple[Connector, CredentialProvider]:
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={PASSWORD};"
        f"BlobEndpoint=http://127.0.0.1:{closed_port()}/a"
    )
    return Connector("inbox", "files", {}, {"connection": "storage"}), Vault({"storage": connection})


def _no_database() -> tuple[Connector, CredentialProvider]:
    settings = {
        "dialect": "postgresql",
        "host": "127.0.0.1",
        "port": closed_port(),
        "database": "erp",
        "user": "sluice",
        "operations": _OPERATIONS,
    }
    return Connector("erp", "sql", settings, {"password": "p"}), Vault({"p": PASSWORD})


def _files(path: str) -> Case:
    return Case(
        "files",
        "records",
        Verb.FETCH,
        _share_with_files,
        _no_storage,
        parameters={"path": path, "columns": _RATE_TYPES},
        records=_RATES,
    )


def _listing() -> Case:
    return Case(
        "files",
        "list",
        Verb.FETCH,
        _share_with_files,
        _no_storage,
        parameters={"prefix": "rates", "suffix": ".csv"},
        records=({"path": "rates.csv", "bytes": 66},),
    )


_LIST: Mapping[str, Any] = {
    "fetch": "/pages/page_number/rates",
    "query": {"size": "{size}"},
    "items": "items",
    "columns": _RATE_TYPES,
    "parameters": {"size": "integer"},
    "pages": {"style": "page_number", "total_pages": "pages"},
}
_ITEM: Mapping[str, Any] = {
    "lookup": "/records/rates/activity/{activity}",
    "columns": _RATE_TYPES,
    "parameters": {"activity": "text"},
}
_PUSHES = rest_connectors.pushes(_RATE_TYPES)
_SERVICE: Mapping[str, Any] = {"rates": _LIST, "rate": _ITEM, **_PUSHES}


def _service_with_rates(backends: Backends) -> tuple[Connector, CredentialProvider]:
    server = backends.erp_server
    server.put_records(
        "rates",
        [
            {"activity": "Welding", "rate": 61.5, "valid_from": "2026-01-01"},
            {"activity": "Painting", "rate": 48, "valid_from": None},
        ],
    )
    return rest_connectors.connector(server, _SERVICE), Vault({"erp-token": PASSWORD})


def _no_service() -> tuple[Connector, CredentialProvider]:
    settings = {"base_url": f"http://127.0.0.1:{closed_port()}", "auth": "bearer", "operations": _SERVICE}
    return Connector("erp", "rest", settings, {"token": "t"}), Vault({"t": PASSWORD})


def _service(operation: str, verb: Verb, **details: Any) -> Case:
    return Case("rest", operation, verb, _service_with_rates, _no_service, **details)


CASES = (
    _files("rates.csv"),
    _files("rates.xlsx"),
    _listing(),
    Case(
        "sql",
        "rates",
        Verb.FETCH,
        _erp_with_rates,
        _no_database,
        parameters={"least": "10"},
        records=_RATES,
    ),
    Case(
        "sql",
        "rate",
        Verb.LOOKUP,
        _erp_with_rates,
        _no_database,
        parameters={"activity": "Welding"},
        records=_RATES[:1],
    ),
    Case(
        "sql",
        "add_rates",
        Verb.PUSH,
        _erp_with_rates,
        _no_database,
        records=_RATES,
        other={**_RATES[0], "rate": Decimal("99.00")},
    ),
    _service("rates", Verb.FETCH, parameters={"size": 1}, records=_RATES),
    _service("rate", Verb.LOOKUP, parameters={"activity": "Welding"}, records=_RATES[:1]),
    *(
        _service(operation, Verb.PUSH, records=_RATES, other={**_RATES[0], "rate": Decimal("99.00")})
        for operation in _PUSHES
    ),
)
