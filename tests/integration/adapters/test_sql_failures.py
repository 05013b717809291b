"""Connections that cannot be made, or break at the worst moment; and what errors tell."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from adapters.contract import Adapter, Outgoing, PushStatus
from adapters.datasource.sql import database
from adapters.registry import get_adapter
from kernel.errors import (
    AuthenticationFailed,
    ExternalError,
    ExternalNotFound,
    InDoubt,
    InvalidData,
    SystemUnavailable,
)
from tests.support.adapter_systems import SANDBOX, Erp, closed_port
from tests.support.adapters import Vault
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy

CANARY = "canary-3b9d"
OPERATIONS: dict[str, Any] = {
    "lines": {
        "push": "job_line",
        "columns": {"project": "text", "work_date": "date", "amount": "decimal(18,2)"},
        "key_column": "posting_key",
    },
    "cast": {
        "lookup": "SELECT :value::integer AS n",
        "columns": {"n": "integer"},
        "parameters": {"value": "text"},
    },
    "float": {
        "lookup": "SELECT name, 0.5::float8 AS n FROM project WHERE code = 'canary'",
        "columns": {"name": "text", "n": "decimal"},
    },
}
PING = b"Q\0\0\0\6;\0"


def line(project: str = "A") -> Outgoing:
    return Outgoing(uuid4().hex, {"project": project, "work_date": date(2026, 1, 1), "amount": Decimal(1)})


def broken(erp: Erp, *, password: str | None = None, **changes: Any) -> Adapter:
    vault = erp.vault if password is None else Vault({"erp-password": password})
    return get_adapter(erp.connector(OPERATIONS, **changes), SANDBOX, vault)


@contextmanager
def proxied(erp: Erp) -> Iterator[tuple[Adapter, CuttingProxy]]:
    """An adapter whose line to the database can be cut."""
    with cutting_proxy(erp.settings["host"], erp.settings["port"]) as proxy:
        adapter = erp.adapter(OPERATIONS, port=proxy.port, sslmode="disable")
        try:
            yield adapter, proxy
        finally:
            adapter.close()


@pytest.mark.parametrize(
    ("changes", "expected", "part"),
    [
        ({"port": closed_port()}, SystemUnavailable, "refuses connections"),
        ({"host": "no-such-host.invalid", "sslmode": "disable"}, SystemUnavailable, "setting host"),
        ({"database": "nowhere"}, ExternalNotFound, "setting database"),
        ({"password": CANARY}, AuthenticationFailed, "renew the secret"),
        ({"sslmode": "require"}, ExternalError, "sslmode"),
    ],
)
def test_why_a_connection_cannot_be_made(
    erp: Erp, changes: dict[str, Any], expected: type[ExternalError], part: str
) -> None:
    adapter = broken(erp, **changes)
    with pytest.raises(expected, match=part) as caught:
        adapter.push("lines", {}, [line()])
    assert type(caught.value) is expected
    result = adapter.check()
    assert (result.ok, result.detail) == (False, caught.value.message)
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told
    assert erp.vault.secret("erp-password").reveal() not in told
    adapter.close()


def test_a_secret_that_is_not_in_the_vault(erp: Erp) -> None:
    adapter = get_adapter(erp.connector(OPERATIONS), SANDBOX, Vault({}))
    with pytest.raises(AuthenticationFailed, match="'erp-password'"):
        adapter.push("lines", {}, [line()])
    assert "'erp-password'" in adapter.check().detail
    adapter.close()


def test_a_password_is_asked_for_when_connecting_and_kept_nowhere(erp: Erp) -> None:
    adapter = erp.adapter(OPERATIONS)
    assert adapter.check().ok
    password = erp.vault.secret("erp-password").reveal()
    seen = {id(adapter): adapter}
    waiting: list[Any] = [adapter]
    while waiting and len(seen) < 20_000:
        thing = waiting.pop()
        assert not (isinstance(thing, str) and thing == password)
        if isinstance(thing, Vault):
            continue
        inside = thing.items() if isinstance(thing, dict) else getattr(thing, "__dict__", {}).items()
        parts = [part for pair in inside for part in pair]
        parts += list(thing) if isinstance(thing, list | tuple | set | frozenset) else []
        for part in parts:
            if id(part) not in seen:
                seen[id(part)] = part
                waiting.append(part)
    adapter.close()


@pytest.mark.parametrize(
    "deliver_first", [False, True], ids=["before the server saw it", "after it was done"]
)
def test_a_line_cut_at_the_commit_leaves_doubt_that_a_second_push_resolves(
    erp: Erp, deliver_first: bool
) -> None:
    lines = [line(), line()]
    with proxied(erp) as (adapter, proxy):
        proxy.cut_at, proxy.deliver_first = b"COMMIT", deliver_first
        with pytest.raises(InDoubt, match="Send it again"):
            adapter.push("lines", {}, lines)
        proxy.cut_at = b""
        expected = PushStatus.PRESENT if deliver_first else PushStatus.WRITTEN
        assert [result.status for result in adapter.push("lines", {}, lines)] == [expected] * 2


@pytest.mark.parametrize("cut_at", [b"SET CONSTRAINTS", b"INSERT INTO"])
@pytest.mark.parametrize("deliver_first", [False, True])
def test_a_line_cut_before_the_commit_has_written_nothing(
    erp: Erp, cut_at: bytes, deliver_first: bool
) -> None:
    lines = [line()]
    with proxied(erp) as (adapter, proxy):
        proxy.cut_at, proxy.deliver_first = cut_at, deliver_first
        with pytest.raises(SystemUnavailable):
            adapter.push("lines", {}, lines)
        proxy.cut_at = b""
        assert adapter.find_posted("lines", {}, [lines[0].key]) == {}
        assert [result.status for result in adapter.push("lines", {}, lines)] == [PushStatus.WRITTEN]


def test_a_line_cut_while_bad_rows_are_looked_for_has_written_nothing(erp: Erp) -> None:
    lines = [line(), line("nowhere"), line()]
    with proxied(erp) as (adapter, proxy):
        proxy.cut_at = b"ROLLBACK TO SAVEPOINT"
        with pytest.raises(SystemUnavailable):
            adapter.push("lines", {}, lines)
        assert adapter.find_posted("lines", {}, [one.key for one in lines]) == {}


def test_a_connection_that_died_in_the_pool_is_replaced(erp: Erp) -> None:
    adapter = erp.adapter(OPERATIONS)
    adapter.push("lines", {}, [line()])
    erp.run(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'sluice' AND datname = current_database()"
    )
    assert [result.status for result in adapter.push("lines", {}, [line()])] == [PushStatus.WRITTEN]
    adapter.close()


def test_a_connection_is_asked_whether_it_lives_only_after_a_while(
    erp: Erp, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(erp) as (adapter, proxy):
        adapter.push("lines", {}, [line()])
        proxy.cut_at, proxy.cuts = PING, 1
        adapter.push("lines", {}, [line()])
        assert proxy.cuts == 1
        monkeypatch.setattr(database, "_TRUSTED_SECONDS", 0)
        assert [result.status for result in adapter.push("lines", {}, [line()])] == [PushStatus.WRITTEN]
        assert proxy.cuts == 0  # it did not answer, and another one was taken


def test_values_show_in_no_text_of_the_whole_chain(erp: Erp) -> None:
    adapter = erp.adapter(OPERATIONS)
    with pytest.raises(InvalidData) as caught:
        adapter.lookup("cast", {"value": CANARY})
    assert "SQLSTATE 22P02" in caught.value.message
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is not None

    (result,) = adapter.push("lines", {}, [line(CANARY)])
    assert result.status is PushStatus.REJECTED
    assert CANARY not in repr(result)
    adapter.close()


def test_a_value_of_the_wrong_type_shows_only_in_the_fault(erp: Erp) -> None:
    erp.run("INSERT INTO project VALUES ('canary', 'Harbour') ON CONFLICT DO NOTHING")
    adapter = erp.adapter(OPERATIONS)
    with pytest.raises(InvalidData) as caught:
        adapter.lookup("float", {})
    (fault,) = caught.value.faults
    assert (fault.field, fault.value) == ("n", "0.5")
    assert "0.5" not in fault.message + caught.value.message
    adapter.close()
