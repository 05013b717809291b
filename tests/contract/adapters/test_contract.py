"""What every adapter promises, tried on every operation of every one of them."""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import batched
from typing import Any
from uuid import uuid4

import pytest

from adapters.contract import Adapter, Idempotency, Outgoing, Parameters, PushResult, PushStatus
from adapters.registry import describe, get_adapter, systems
from kernel.errors import ExternalError, InvalidRequest, SystemUnavailable
from kernel.values import conform
from kernel.verbs import SideEffect, Verb
from tests.contract.adapters.cases import CASES, PASSWORD, Backends, Case
from tests.support.adapter_systems import SANDBOX

CALLS: dict[Verb, Callable[[Adapter, str], Any]] = {
    Verb.FETCH: lambda adapter, name: list(adapter.fetch(name, {})),
    Verb.LOOKUP: lambda adapter, name: adapter.lookup(name, {}),
    Verb.PUSH: lambda adapter, name: adapter.push(name, {}, []),
    Verb.EXECUTE: lambda adapter, name: adapter.execute(name, {}, "key"),
}

every_operation = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
READS = [case for case in CASES if case.verb.side_effect is SideEffect.READ]
PUSHES = [case for case in CASES if case.verb is Verb.PUSH]
every_read = pytest.mark.parametrize("case", READS, ids=lambda case: case.id)
every_push = pytest.mark.parametrize("case", PUSHES, ids=lambda case: case.id)


@pytest.fixture
def adapter(case: Case, backends: Backends) -> Iterator[Adapter]:
    connector, credentials = case.connector(backends)
    with closing(get_adapter(connector, SANDBOX, credentials)) as made:
        yield made


def read(case: Case, adapter: Adapter) -> list[dict[str, Any]]:
    if case.verb is Verb.FETCH:
        return [row for page in adapter.fetch(case.operation, case.parameters) for row in page.rows]
    record = adapter.lookup(case.operation, case.parameters)
    return [] if record is None else [record]


def outgoing(case: Case) -> list[Outgoing]:
    return [Outgoing(uuid4().hex, dict(record)) for record in case.records]


def push(case: Case, adapter: Adapter, records: Sequence[Outgoing]) -> list[PushResult]:
    """The records in batches of the size that the operation takes."""
    size = adapter.catalogue(adapter.connector.settings)[case.operation].batch_size
    return [
        result
        for batch in batched(records, size, strict=False)
        for result in adapter.push(case.operation, case.parameters, batch)
    ]


def call(case: Case, adapter: Adapter, parameters: Mapping[str, Any]) -> None:
    """The operation's own verb."""
    calls: dict[Verb, Callable[[], Any]] = {
        Verb.FETCH: lambda: list(adapter.fetch(case.operation, parameters)),
        Verb.LOOKUP: lambda: adapter.lookup(case.operation, parameters),
        Verb.PUSH: lambda: adapter.push(case.operation, parameters, outgoing(case)[:1]),
    }
    calls[case.verb]()


def test_no_adapter_and_no_operation_is_left_out(backends: Backends) -> None:
    assert {case.system for case in CASES} == set(systems())
    for case in CASES:
        offered = describe(case.connector(backends)[0])
        assert {tried.operation for tried in CASES if tried.system == case.system} == set(offered)


@every_operation
def test_the_catalogue_is_sane(case: Case, backends: Backends) -> None:
    operation = describe(case.connector(backends)[0])[case.operation]
    assert operation.name == case.operation
    assert operation.verb is case.verb
    assert operation.verb in CALLS
    assert operation.summary.endswith(".")
    assert issubclass(operation.parameters, Parameters)
    assert operation.parameters.model_json_schema()
    assert operation.batch_size >= 1
    if operation.verb.side_effect is SideEffect.READ:
        assert operation.idempotency is Idempotency.NONE
    parameters = operation.parameters.model_validate(dict(case.parameters))
    columns = operation.columns(parameters)
    assert columns is not None
    assert [column.name for column in columns] == list(case.records[0])


@every_read
def test_a_read_delivers_its_columns_and_exact_values(case: Case, adapter: Adapter) -> None:
    operation = adapter.catalogue(adapter.connector.settings)[case.operation]
    columns = operation.columns(operation.parameters.model_validate(dict(case.parameters)))
    assert columns is not None
    if case.verb is Verb.FETCH:
        for page in adapter.fetch(case.operation, case.parameters):
            assert page.columns == columns
    for record in read(case, adapter):
        assert list(record) == [column.name for column in columns]
        assert [conform(record[column.name], column) for column in columns] == list(record.values())


@every_read
def test_a_read_finds_the_same_records_each_time(case: Case, adapter: Adapter) -> None:
    assert read(case, adapter) == list(case.records)
    assert read(case, adapter) == list(case.records)


@every_operation
@pytest.mark.parametrize("verb", list(CALLS))
def test_verbs_that_an_operation_does_not_serve_are_refused(case: Case, adapter: Adapter, verb: Verb) -> None:
    for name in {case.operation, "no_such_operation"} - ({case.operation} if verb is case.verb else set()):
        with pytest.raises(InvalidRequest, match=name):
            CALLS[verb](adapter, name)


@every_operation
def test_unknown_parameters_are_refused_without_their_values(case: Case, adapter: Adapter) -> None:
    parameters = {**case.parameters, "no_such_parameter": PASSWORD}
    with pytest.raises(InvalidRequest) as caught:
        call(case, adapter, parameters)
    assert [fault.path for fault in caught.value.faults] == ["no_such_parameter"]
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@every_operation
def test_settings_of_nonsense_are_refused_with_places(case: Case, adapter: Adapter) -> None:
    with pytest.raises(InvalidRequest) as caught:
        adapter.catalogue({"no_such_setting": PASSWORD})
    assert "no_such_setting" in [fault.path for fault in caught.value.faults]
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@every_push
def test_a_second_push_finds_the_records_present(case: Case, adapter: Adapter) -> None:
    batch = outgoing(case)
    first = push(case, adapter, batch)
    second = push(case, adapter, batch)
    keys = [record.key for record in batch]
    assert [result.key for result in first] == [result.key for result in second] == keys
    assert {result.status for result in first} == {PushStatus.WRITTEN}
    assert {result.status for result in second} == {PushStatus.PRESENT}
    assert [result.external_id for result in second] == [result.external_id for result in first]
    assert all(result.external_id for result in first)


@every_push
def test_results_come_in_the_order_of_the_batch(case: Case, adapter: Adapter) -> None:
    batch = outgoing(case) + outgoing(case)
    push(case, adapter, batch[1::2])
    shuffled = batch[::-1]
    results = push(case, adapter, shuffled)
    assert [result.key for result in results] == [record.key for record in shuffled]
    assert len({result.external_id for result in results}) == len(batch)


@every_push
def test_the_same_key_with_other_content_is_rejected_not_overwritten(case: Case, adapter: Adapter) -> None:
    assert case.other is not None
    (first, *_) = outgoing(case)
    adapter.push(case.operation, case.parameters, [first])
    (result,) = adapter.push(case.operation, case.parameters, [Outgoing(first.key, case.other)])
    assert result.status is PushStatus.REJECTED
    assert result.reason
    for name, value in case.other.items():
        if value != first.values[name]:
            assert name in result.reason
            assert str(value) not in result.reason
    (again,) = adapter.push(case.operation, case.parameters, [first])
    assert again.status is PushStatus.PRESENT


@every_push
def test_what_was_posted_is_found_by_its_key(case: Case, adapter: Adapter) -> None:
    operation = adapter.catalogue(adapter.connector.settings)[case.operation]
    if operation.idempotency is Idempotency.NONE:
        pytest.skip("the system cannot look records up")
    batch = outgoing(case)
    results = adapter.push(case.operation, case.parameters, batch[:1])
    found = adapter.find_posted(case.operation, case.parameters, [record.key for record in batch])
    assert found == {results[0].key: results[0].external_id}


@every_operation
def test_check_is_fine_and_close_may_come_twice_and_early(case: Case, adapter: Adapter) -> None:
    adapter.close()
    result = adapter.check()
    assert result.ok, result
    assert result.detail.endswith(".")
    adapter.close()
    adapter.close()


@every_operation
def test_a_system_that_is_away_is_told_with_its_place_and_a_remedy(case: Case) -> None:
    connector, credentials = case.unreachable()
    with closing(get_adapter(connector, SANDBOX, credentials)) as adapter:
        result = adapter.check()
        assert not result.ok
        with pytest.raises(SystemUnavailable) as caught:
            call(case, adapter, case.parameters)
    assert isinstance(caught.value, ExternalError)
    assert caught.value.message in result.detail
    assert caught.value.__cause__ is not None


@every_operation
def test_secrets_show_nowhere(case: Case) -> None:
    connector, credentials = case.unreachable()
    with closing(get_adapter(connector, SANDBOX, credentials)) as adapter:
        result = adapter.check()
        told = [repr(adapter), str(adapter), repr(adapter.connector), repr(vars(adapter)), repr(result)]
        with pytest.raises(SystemUnavailable) as caught:
            call(case, adapter, case.parameters)
        told += [repr(caught.value), "".join(traceback.format_exception(caught.value))]
        told.append(repr(caught.value.to_dict()))
    assert PASSWORD not in " ".join(told)
