"""The SQL adapter's settings become a catalogue, or a list of everything that is wrong with them."""

from typing import Any

import pytest

from adapters.contract import Idempotency
from adapters.datasource.sql.catalogue import operations, parsed_settings
from adapters.datasource.sql.settings import SqlSettings
from kernel.errors import InvalidRequest
from kernel.verbs import Verb

FETCH: dict[str, Any] = {
    "fetch": "SELECT activity, rate FROM rates WHERE valid_from <= :day;",
    "columns": {"activity": "text", "rate": "decimal(8,2)"},
    "parameters": {"day": "date"},
    "order_by": ["-rate", "activity"],
}
LOOKUP: dict[str, Any] = {
    "lookup": "SELECT name FROM projects WHERE code = :code",
    "columns": {"name": "text"},
    "parameters": {"code": "text"},
}
PUSH: dict[str, Any] = {
    "push": "ledger.lines",
    "columns": {"project": "text", "amount": "decimal(18,2)"},
    "key_column": "posting_key",
    "id_column": "id",
}


def settings(**changes: Any) -> dict[str, Any]:
    base = {
        "dialect": "postgresql",
        "host": "erp.example",
        "database": "erp",
        "user": "sluice",
        "operations": {"rates": FETCH, "project": LOOKUP, "post": PUSH},
    }
    return base | changes


def faults(**changes: Any) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        parsed_settings(settings(**changes))
    return [f"{fault.path}: {fault.message}" for fault in caught.value.faults]


def one_operation(**changes: Any) -> list[str]:
    return faults(operations={"o": FETCH | changes})


def test_the_catalogue() -> None:
    found = operations(parsed_settings(settings()))
    assert {name: operation.verb for name, operation in found.items()} == {
        "rates": Verb.FETCH,
        "project": Verb.LOOKUP,
        "post": Verb.PUSH,
    }
    post = found["post"]
    assert (post.idempotency, post.batch_size, post.atomic) == (Idempotency.NATIVE, 1000, False)
    columns = post.columns(post.parameters())
    assert columns is not None
    assert [(column.name, column.type) for column in columns] == [
        ("project", "text"),
        ("amount", "decimal(18,2)"),
    ]
    assert list(found["rates"].parameters.model_fields) == ["day"]


@pytest.mark.parametrize(
    ("host", "sslmode", "expected"),
    [
        ("erp.example", None, "require"),
        ("10.0.0.1", None, "require"),
        ("localhost", None, "prefer"),
        ("127.0.0.2", None, "prefer"),
        ("::1", None, "prefer"),
        ("localhost", "verify-full", "verify-full"),
    ],
)
def test_encryption_is_required_unless_the_host_is_this_machine(
    host: str, sslmode: Any, expected: str
) -> None:
    assert parsed_settings(settings(host=host, sslmode=sslmode)).effective_sslmode == expected


@pytest.mark.parametrize(
    ("host", "listed", "expected"),
    [("erp.example", ["ERP.example."], True), ("erp.example", ["test.example"], False), ("e", [], False)],
)
def test_production_hosts_are_compared_as_names(host: str, listed: list[str], expected: bool) -> None:
    assert parsed_settings(settings(host=host, production_hosts=listed)).is_production_host is expected


def test_all_faults_come_together_and_repeat_no_value() -> None:
    found = faults(
        host="postgres://canary@erp",
        port=70_000,
        password="canary",
        sslmode="canary",
        operations={
            "ok": FETCH,
            "bad name": FETCH,
            "two": FETCH | PUSH,
            "none": {"columns": {}},
            "types": FETCH | {"columns": {"a": "money", "b-c": "text"}},
            "tables": PUSH | {"push": "a.b.c", "key_column": "x y"},
        },
    )
    paths = [line.partition(": ")[0] for line in found]
    assert paths == [
        "host",
        "port",
        "sslmode",
        "operations.bad name.[key]",
        "operations.two",
        "operations.none",
        "operations.types.fetch.columns.a",
        "operations.types.fetch.columns.b-c.[key]",
        "operations.tables.push.push",
        "operations.tables.push.key_column",
        "password",
    ]
    assert "canary" not in " ".join(found)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM rates WHERE valid_from <= :day",
        "SELECT 1 WHERE 'x' < :day; DROP TABLE rates",
        "SELECT 1 WHERE 'x' < :day;; ;",
        "/* SELECT */ UPDATE rates SET day = :day",
        "selection from :day",
    ],
)
def test_a_statement_is_one_query(statement: str) -> None:
    found = one_operation(fetch=statement)
    assert found
    assert all("SELECT or WITH" in line or "more than one statement" in line for line in found)


@pytest.mark.parametrize(
    "statement",
    [
        "  select ';', \"a;b\" /* ; */ from x where d = :day -- ;",
        "WITH a AS (SELECT $$;$$::text AS t) SELECT * FROM a WHERE d = :day",
        "(SELECT 1 AS one WHERE :day > '2020-01-01')",
    ],
)
def test_semicolons_in_quotes_and_comments_are_no_second_statement(statement: str) -> None:
    parsed = parsed_settings(settings(operations={"o": FETCH | {"fetch": statement}}))
    assert list(parsed.operations) == ["o"]


def test_parameters_are_those_of_the_statement() -> None:
    found = one_operation(fetch="SELECT '12\\:30', x::date FROM t WHERE a = :a AND b = :b")
    assert found == [
        "operations.o: The statement uses :a, which parameters does not declare.",
        "operations.o: The statement uses :b, which parameters does not declare.",
        "operations.o.parameters.day: Parameter 'day' is not used in the statement.",
    ]


def test_a_parameter_must_not_hide_an_attribute_of_its_model() -> None:
    (found,) = one_operation(fetch="SELECT :copy AS activity", parameters={"copy": "text"})
    assert "choose another name" in found


def test_order_and_reserved_columns() -> None:
    assert "order_by names '-hours'" in one_operation(order_by=["-hours"])[0]
    found = faults(operations={"post": PUSH | {"key_column": "project", "id_column": "amount"}})
    assert [line.partition(": ")[0] for line in found] == [
        "operations.post.key_column",
        "operations.post.id_column",
    ]


def test_limits_have_defaults_in_seconds() -> None:
    parsed = SqlSettings.model_validate(settings())
    assert (parsed.effective_port, parsed.connect_timeout, parsed.statement_timeout) == (5432, 10, 60)
    assert parsed.address == "erp.example:5432"
