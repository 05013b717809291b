"""Writing to a real server, without faults: what arrives, what is refused, what is found again."""

from datetime import date
from decimal import Decimal
from uuid import uuid4

import pytest

from adapters.contract import Outgoing, PushStatus
from kernel.errors import AccessForbidden, ExternalNotFound, InvalidRequest
from kernel.records import Value
from tests.integration.adapters.rest.conftest import MakeAdapter
from tests.support import rest_connectors
from tests.support.erp_server.client import ErpServer

BATCHES = [name for name in rest_connectors.pushes() if name.endswith("_batch")]
SINGLES = [name for name in rest_connectors.pushes() if not name.endswith("_batch")]


def line(amount: str = "12.50", **changes: Value) -> Outgoing:
    values: dict[str, Value] = {
        "project": "Harbour",
        "work_date": date(2026, 3, 31),
        "amount": Decimal(amount),
    }
    return Outgoing(uuid4().hex, values | changes)


def test_what_arrives_is_exact(server: ErpServer, make_adapter: MakeAdapter) -> None:
    record = line("1234567890.5", project='Größe "M"\n')
    make_adapter().push("keyed", {}, [record])
    (arrived,) = [one for one in server.ledger("keyed") if one.key == record.key]
    assert arrived.values == {"project": 'Größe "M"\n', "work_date": "2026-03-31", "amount": "1234567890.50"}


def test_decimals_may_go_as_text(server: ErpServer, make_adapter: MakeAdapter) -> None:
    operations = rest_connectors.pushes()
    record = line("-0.00")
    make_adapter({"keyed": operations["keyed"] | {"decimals": "text"}}).push("keyed", {}, [line("7")])
    assert server.ledger("keyed")[-1].values["amount"] == "7.00"
    assert make_adapter().push("sink", {}, [record])[0].status is PushStatus.WRITTEN


@pytest.mark.parametrize("operation", BATCHES)
def test_a_batch_is_accepted_in_part(server: ErpServer, make_adapter: MakeAdapter, operation: str) -> None:
    batch = [line(), line("-5.00"), line(), line(project=None), line(amount="3.00", project=7)]
    results = make_adapter().push(operation, {}, batch)
    assert [result.key for result in results] == [record.key for record in batch]
    statuses = [result.status is PushStatus.WRITTEN for result in results]
    assert statuses == [True, False, True, True, False]
    assert "The amount [amount] is negative" in results[1].reason
    assert "project is of type int" in results[4].reason
    counts = server.counts(operation.removesuffix("_batch"))
    assert [counts[record.key] for record in batch] == [1, 0, 1, 1, 0]


@pytest.mark.parametrize("operation", SINGLES)
def test_a_refused_record_has_the_reason_without_its_values(
    server: ErpServer, make_adapter: MakeAdapter, operation: str
) -> None:
    record = line("-5.00")
    (result,) = make_adapter().push(operation, {}, [record])
    assert (result.status, result.reason) == (PushStatus.REJECTED, "The amount [amount] is negative")
    assert record.key not in server.counts(operation)


def test_without_a_place_for_errors_nothing_of_the_body_is_told(make_adapter: MakeAdapter) -> None:
    (result,) = make_adapter(errors=None).push("keyed", {}, [line("-5.00")])
    assert result.status is PushStatus.REJECTED
    assert "negative" not in result.reason
    assert "canary" not in result.reason


def test_a_refused_batch_is_divided_until_the_refused_records_stand_alone(
    server: ErpServer, make_adapter: MakeAdapter
) -> None:
    """The strict address refuses the whole batch, with 422, when one record is wrong."""
    spec = rest_connectors.pushes()["keyed_batch"]
    batch = [line(str(amount)) for amount in (1, 2, -3, 4, 5, -6, 7)]
    strict = spec | {"push": "/keyed/strict-batches"}
    results = make_adapter({"strict": strict}).push("strict", {}, batch)
    assert [result.status is PushStatus.WRITTEN for result in results] == [
        record.values["amount"] > 0  # type: ignore[operator]
        for record in batch
    ]
    counts = server.counts("keyed")
    assert [counts[record.key] for record in batch] == [1, 1, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("operation", ["upserts", "upserts_batch", "searchable", "searchable_batch"])
def test_what_somebody_else_wrote_under_the_key_is_not_overwritten(
    server: ErpServer, make_adapter: MakeAdapter, operation: str
) -> None:
    adapter, record = make_adapter(), line()
    adapter.push(operation, {}, [record])
    (result,) = adapter.push(operation, {}, [Outgoing(record.key, dict(line("99.00").values))])
    assert result.status is PushStatus.REJECTED
    assert result.reason == "A record with the same key holds other values in amount."
    assert server.counts(operation.removesuffix("_batch"))[record.key] == 1


def test_a_search_that_matches_prefixes_finds_only_the_key_itself(make_adapter: MakeAdapter) -> None:
    adapter = make_adapter()
    long = line()
    short = Outgoing(long.key[:-1], long.values)
    adapter.push("searchable", {}, [long])
    assert adapter.find_posted("searchable", {}, [short.key]) == {}
    assert adapter.push("searchable", {}, [short])[0].status is PushStatus.WRITTEN


def test_a_key_is_cut_to_the_width_of_its_target(server: ErpServer, make_adapter: MakeAdapter) -> None:
    spec = rest_connectors.pushes()["searchable"] | {"key": {"field": "posting_key", "length": 20}}
    adapter, record = make_adapter({"narrow": spec}), line()
    (result,) = adapter.push("narrow", {}, [record])
    assert result.key == record.key
    assert server.counts("searchable")[record.key[:20]] == 1
    assert adapter.find_posted("narrow", {}, [record.key]) == {record.key: result.external_id}


def test_the_same_key_twice_in_a_batch_is_refused_before_anything_is_sent(
    server: ErpServer, make_adapter: MakeAdapter
) -> None:
    record = line()
    with pytest.raises(InvalidRequest, match="same key"):
        make_adapter().push("sink_batch", {}, [record, record])
    with pytest.raises(InvalidRequest, match="at most 1"):
        make_adapter().push("sink", {}, [line(), line()])
    assert record.key not in server.counts("sink")


def test_a_sandbox_does_not_write_to_production(server: ErpServer, make_adapter: MakeAdapter) -> None:
    before = server.state()["requests"]
    adapter = make_adapter(production_hosts=["127.0.0.1"])
    with pytest.raises(AccessForbidden, match="production"):
        adapter.push("keyed", {}, [line()])
    assert server.state()["requests"] == before
    assert adapter.find_posted("keyed", {}, [uuid4().hex]) == {}


def test_a_wrong_path_is_the_connectors_fault_not_the_records(make_adapter: MakeAdapter) -> None:
    spec = rest_connectors.pushes()["keyed"] | {"push": "/no/such/path"}
    with pytest.raises(ExternalNotFound, match="/no/such/path"):
        make_adapter({"lost": spec}).push("lost", {}, [line()])
