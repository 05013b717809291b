"""Which adapter serves a connector, and why not."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from adapters.contract import CommonSettings, Connector
from adapters.registry import describe, get_adapter, systems
from kernel.errors import Fault, InvalidRequest
from tests.support.adapters import Vault

SQL: dict[str, Any] = {
    "dialect": "postgresql",
    "host": "127.0.0.1",
    "database": "erp",
    "user": "sluice",
    "operations": {"rates": {"fetch": "SELECT rate FROM rates", "columns": {"rate": "decimal(8,2)"}}},
}
FILES: dict[str, Any] = {"container": "files"}
REST: dict[str, Any] = {
    "base_url": "https://erp.example.com",
    "operations": {"lines": {"fetch": "/lines", "columns": {"id": "text"}, "items": "data"}},
}
ERP = Connector("erp", "sql", SQL, {"password": "erp-password"})
INBOX = Connector("inbox", "files", FILES, {"connection": "storage"})
VAULT = Vault({})


def refusal(connector: Connector, environment: str = "sandbox") -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        get_adapter(connector, environment, VAULT)
    return caught.value


def faults(connector: Connector, environment: str = "sandbox") -> dict[str, Fault]:
    return {fault.path: fault for fault in refusal(connector, environment).faults}


def test_the_known_systems_are_sorted() -> None:
    assert systems() == ("files", "rest", "sql")


@pytest.mark.parametrize(
    ("system", "settings", "served_by"),
    [
        ("sql", SQL, "sql"),
        ("files", {}, "files"),
        ("acme-erp", SQL, "sql"),
        ("acme-share", FILES, "files"),
        ("acme-share", {"identity": "managed", "account_url": "https://a.blob.core.windows.net"}, "files"),
        ("acme-share", {"connection_type": "blob"}, "files"),
        ("acme-share", {"connection_type": "files"}, "files"),
    ],
)
def test_exact_type_then_settings_then_connection_type(
    system: str, settings: dict[str, Any], served_by: str
) -> None:
    secrets = {"password": "p"} if served_by == "sql" else {"connection": "c"}
    adapter = get_adapter(Connector("c", system, settings, secrets), "sandbox", VAULT)
    assert adapter.system == served_by
    assert "connection_type" not in adapter.connector.settings
    adapter.close()


def test_the_exact_type_wins_over_what_the_settings_look_like() -> None:
    assert "settings.container" in faults(replace(ERP, settings={**SQL, **FILES}))


def test_a_refusal_lists_what_was_tried_in_order_and_is_always_the_same() -> None:
    connector = Connector("c", "acme", {"connection_type": "pigeon"})
    message = refusal(connector).message
    tried = ["system type 'acme'", "its settings", "connection type 'pigeon'", "files, rest, sql"]
    places = [message.index(part) for part in tried]
    assert places == sorted(places)
    assert refusal(connector).message == message
    with pytest.raises(InvalidRequest, match="acme"):
        describe(connector)


def test_describe_needs_no_vault_and_lists_operations() -> None:
    assert list(describe(ERP)) == ["rates"]
    assert list(describe(INBOX)) == ["records", "list"]


def test_an_adapter_has_the_operations_that_its_class_describes() -> None:
    for connector in (ERP, INBOX, Connector("api", "rest", REST)):
        adapter = get_adapter(connector, "sandbox", VAULT)
        assert list(adapter.operations) == list(describe(connector))
        assert adapter.operations is adapter.operations
        adapter.close()


def test_all_faults_of_a_connector_come_together() -> None:
    wrong = Connector("erp", "sql", {**SQL, "port": 0, "sslmode": "maybe"}, {"token": "t"}, "production")
    assert list(faults(wrong)) == [
        "settings.port",
        "settings.sslmode",
        "secrets.password",
        "secrets.token",
        "environment",
    ]


def test_a_secret_that_is_mapped_to_nothing_is_missing() -> None:
    assert list(faults(replace(ERP, secrets={"password": ""}))) == ["secrets.password"]
    with pytest.raises(InvalidRequest):
        describe(replace(ERP, secrets={}))


@pytest.mark.parametrize("connector", [ERP, INBOX], ids=["sql", "files"])
def test_a_connector_of_any_system_may_limit_how_many_work_with_it(connector: Connector) -> None:
    limited = replace(connector, settings={**connector.settings, "concurrency": 1000})
    assert limited.common_settings.concurrency == 1000
    assert connector.common_settings.concurrency is None
    adapter = get_adapter(limited, "sandbox", VAULT)
    assert "concurrency" not in adapter.connector.settings
    adapter.close()


@pytest.mark.parametrize("wrong", [0, 1001, -1, 1.5, "2", True, [1]])
def test_a_limit_is_a_whole_number_from_1_to_1000(wrong: Any) -> None:
    limited = replace(ERP, settings={**SQL, "concurrency": wrong, "port": 0})
    assert list(faults(limited)) == ["settings.concurrency", "settings.port"]
    with pytest.raises(InvalidRequest):
        describe(limited)


def test_no_adapter_has_a_setting_of_the_engine() -> None:
    for connector in (ERP, INBOX, Connector("api", "rest", REST)):
        adapter = get_adapter(connector, "sandbox", VAULT)
        assert not set(CommonSettings.model_fields) & set(adapter.settings_model.model_fields)
        adapter.close()


def test_a_managed_identity_needs_no_secret() -> None:
    settings = {"identity": "managed", "account_url": "https://a.blob.core.windows.net"}
    get_adapter(Connector("inbox", "files", settings), "sandbox", VAULT).close()


def test_a_connector_of_another_environment_is_refused() -> None:
    fault = faults(replace(ERP, environment="production"))["environment"]
    assert "'production'" in fault.message
    assert "'sandbox'" in fault.message


def test_vendor_code_is_not_imported_before_it_is_used() -> None:
    program = (
        "import sys\n"
        "from adapters.contract import Connector\n"
        "from adapters.registry import describe\n"
        f"describe(Connector('erp', 'sql', {SQL!r}, {{'password': 'p'}}))\n"
        "describe(Connector('inbox', 'files', {}, {'connection': 'c'}))\n"
        "print(sorted({'sqlalchemy', 'psycopg', 'azure'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
