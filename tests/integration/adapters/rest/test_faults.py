"""Every fault of the ERP, on every way to write: what the adapter reports against what the ledger has.

The server's ledger is an independent record: a line is in it exactly if the server accepted a record.
"""

import traceback
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from uuid import uuid4

import pytest

from adapters.contract import Adapter, Idempotency, Outgoing, PushResult, PushStatus
from adapters.registry import get_adapter
from adapters.retry_after import LONGEST_SECONDS
from kernel.errors import (
    AuthenticationFailed,
    ExternalError,
    InDoubt,
    RateLimited,
    SystemUnavailable,
    Transient,
)
from tests.integration.adapters.rest.conftest import MakeAdapter
from tests.support import rest_connectors
from tests.support.adapters import Vault
from tests.support.cutting_proxy import cutting_proxy
from tests.support.erp_server.client import ErpServer
from tests.support.erp_server.faults import Fault, FaultKind, RetryForm
from tests.support.erp_server.hazards import BUSY_SECONDS

OPERATIONS = {**rest_connectors.pushes(), **rest_connectors.sinks()}
SAFE = list(rest_connectors.pushes())
SINKS = list(rest_connectors.sinks())
TIMEOUT = 0.4


def batch_for(operation: str) -> list[Outgoing]:
    return [line() for _ in range(4 if operation.endswith("_batch") else 1)]


def line() -> Outgoing:
    project = f"P{uuid4().hex[:6]}"
    return Outgoing(
        uuid4().hex, {"project": project, "work_date": date(2026, 3, 31), "amount": Decimal("12.50")}
    )


def resource_of(operation: str) -> str:
    return operation.removesuffix("_batch")


@dataclass
class Reported:
    """What the adapter said of each record, over all attempts of an engine that resends what it may."""

    accepted: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    errors: list[ExternalError] = field(default_factory=list)

    def note(self, results: list[PushResult]) -> None:
        for result in results:
            (self.rejected if result.status is PushStatus.REJECTED else self.accepted).add(result.key)


def push_until_settled(
    adapter: Adapter, operation: str, batch: list[Outgoing], attempts: int = 40
) -> Reported:
    """What the engine and its operators do: doubts are sent again only where that is safe.

    Any other error means that nothing of the batch was written, so that it is sent again.
    """
    idempotency = Idempotency(OPERATIONS[operation].get("idempotency", "none"))
    reported = Reported()
    for _ in range(attempts):
        try:
            reported.note(_checked(adapter, operation, adapter.push(operation, {}, batch), reported))
        except ExternalError as exc:
            reported.errors.append(exc)
            if isinstance(exc, InDoubt) and idempotency is Idempotency.NONE:
                reported.held = {record.key for record in batch}
                return reported
        else:
            return reported
    raise AssertionError(f"not settled: {reported.errors[-1]}")


def _checked(
    adapter: Adapter, operation: str, results: list[PushResult], reported: Reported
) -> list[PushResult]:
    """After a doubt, a refusal of the second request says nothing of the first: look."""
    refused = [result.key for result in results if result.status is PushStatus.REJECTED]
    if not refused or not any(isinstance(error, InDoubt) for error in reported.errors):
        return results
    found = adapter.find_posted(operation, {}, refused)
    return [replace(one, status=PushStatus.PRESENT) if one.key in found else one for one in results]


def faults_that_may_strike(operation: str) -> list[Fault]:
    """All of them; but a request that the network doubles is doubled for who cannot recognise it."""
    resource = resource_of(operation)
    kinds = [
        kind for kind in FaultKind if kind is not FaultKind.DUPLICATED or resource in ("keyed", "upserts")
    ]
    return [
        Fault(kind, resource, accepted=accepted, seconds=0.05, status=503 if kind is FaultKind.BUSY else 500)
        for kind in kinds
        for accepted in ((False, True) if kind in (FaultKind.NEVER, FaultKind.FAILED) else (False,))
    ]


def cases(operations: list[str]) -> list[tuple[str, Fault]]:
    return [(operation, fault) for operation in operations for fault in faults_that_may_strike(operation)]


def case_name(value: object) -> str:
    return f"{value.kind}{'-accepted' if value.accepted else ''}" if isinstance(value, Fault) else str(value)


@pytest.mark.parametrize(("operation", "fault"), cases(SAFE), ids=case_name)
def test_one_fault_never_makes_two_lines_or_none(
    server: ErpServer, make_adapter: MakeAdapter, operation: str, fault: Fault
) -> None:
    batch = batch_for(operation)
    server.faults(fault)
    reported = push_until_settled(make_adapter(timeout=TIMEOUT), operation, batch)
    counts = server.counts(resource_of(operation))
    assert not reported.held
    assert reported.accepted | reported.rejected == {record.key for record in batch}
    assert {record.key: counts[record.key] for record in batch} == {
        record.key: int(record.key in reported.accepted) for record in batch
    }


@pytest.mark.parametrize(("operation", "fault"), cases(SINKS), ids=case_name)
def test_what_cannot_be_recognised_is_in_doubt_or_right(
    server: ErpServer, make_adapter: MakeAdapter, operation: str, fault: Fault
) -> None:
    batch = batch_for(operation)
    server.faults(fault)
    reported = push_until_settled(make_adapter(timeout=TIMEOUT), operation, batch)
    counts = server.counts("sink")
    assert reported.accepted | reported.rejected | reported.held == {record.key for record in batch}
    for record in batch:
        allowed = {0, 1} if record.key in reported.held else {int(record.key in reported.accepted)}
        assert counts[record.key] in allowed


UNKNOWN = [
    FaultKind.NEVER,
    FaultKind.RESET_BEFORE,
    FaultKind.RESET_AFTER,
    FaultKind.WRONG_TYPE,
    FaultKind.TRUNCATED,
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", UNKNOWN)
def test_an_unknown_outcome_is_never_anything_but_in_doubt(
    server: ErpServer, make_adapter: MakeAdapter, operation: str, kind: FaultKind
) -> None:
    batch = batch_for(operation)
    adapter = make_adapter(timeout=TIMEOUT)
    if OPERATIONS[operation].get("find") and operation.startswith(("upserts", "searchable")):
        # These look first: let the searches pass, and the write be struck.
        server.faults(*[Fault(FaultKind.SLOW, resource_of(operation), seconds=0) for _ in batch])
    server.fault(kind, resource_of(operation))
    with pytest.raises(InDoubt):
        adapter.push(operation, {}, batch)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("seed", range(2))
def test_a_storm_of_faults_leaves_each_record_once(
    server: ErpServer, make_adapter: MakeAdapter, operation: str, seed: int
) -> None:
    """Each request is struck with a chance of three in ten; 8 batches."""
    faults = [fault for fault in faults_that_may_strike(operation) if fault.kind is not FaultKind.NEVER]
    chance = 0.3 / len(faults)
    server.faults(
        *[
            Fault(**{**fault.to_dict(), "probability": chance, "seed": seed * 100 + number})
            for number, fault in enumerate(faults)
        ]
    )
    adapter = make_adapter(timeout=TIMEOUT)
    reported = Reported()
    sent: set[str] = set()
    for _ in range(8):
        batch = batch_for(operation)
        sent |= {record.key for record in batch}
        one = push_until_settled(adapter, operation, batch)
        reported.accepted |= one.accepted
        reported.rejected |= one.rejected
        reported.held |= one.held
    assert server.state()["faults_taken"] > 0
    counts = server.counts(resource_of(operation))
    assert reported.accepted | reported.rejected | reported.held == sent
    for key in sent:
        assert counts[key] in ({0, 1} if key in reported.held else {int(key in reported.accepted)})


def test_the_ledger_outlives_a_kill_and_records_are_found_after_it(
    server: ErpServer, make_adapter: MakeAdapter
) -> None:
    adapter = make_adapter(timeout=TIMEOUT)
    for operation in rest_connectors.pushes():
        batch = batch_for(operation)
        server.faults(Fault(FaultKind.NEVER, resource_of(operation), accepted=True))
        with pytest.raises(ExternalError):
            adapter.push(operation, {}, batch)
        server.kill()
        with pytest.raises(SystemUnavailable):
            adapter.push(operation, {}, batch)
        server.start()
        reported = push_until_settled(adapter, operation, batch)
        counts = server.counts(resource_of(operation))
        assert reported.accepted == {record.key for record in batch}
        assert {counts[record.key] for record in batch} == {1}


@pytest.mark.parametrize("form", list(RetryForm))
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("operation", ["keyed", "sink"])
def test_a_busy_system_has_written_nothing_and_says_when_to_come_back(
    server: ErpServer, make_adapter: MakeAdapter, operation: str, status: int, form: RetryForm
) -> None:
    (record,) = batch_for(operation)
    server.fault(FaultKind.BUSY, operation, status=status, retry=form)
    with pytest.raises(Transient) as caught:
        make_adapter().push(operation, {}, [record])
    assert server.counts(operation)[record.key] == 0
    wait = caught.value.retry_after
    if form in (RetryForm.NONE, RetryForm.NONSENSE):
        assert wait is None
        return
    assert isinstance(caught.value, RateLimited)
    assert wait is not None
    soon = (BUSY_SECONDS - 2, BUSY_SECONDS + 1)
    least, most = {RetryForm.PAST: (0, 0), RetryForm.HUGE: (LONGEST_SECONDS,) * 2}.get(form, soon)
    assert least <= wait <= most


def test_a_failure_after_a_part_was_written_is_a_doubt_about_the_batch(
    server: ErpServer, make_adapter: MakeAdapter
) -> None:
    strict = {**OPERATIONS["keyed_batch"], "push": "/keyed/strict-batches"}
    adapter = make_adapter({"strict": strict})
    batch = batch_for("keyed_batch")
    batch[3].values["amount"] = Decimal(-1)
    passing = Fault(FaultKind.SLOW, "keyed", times=2, seconds=0)
    server.faults(passing, Fault(FaultKind.BUSY, "keyed", status=429, retry=RetryForm.SECONDS))
    with pytest.raises(InDoubt, match="part of the batch") as caught:
        adapter.push("strict", {}, batch)
    assert caught.value.retry_after == BUSY_SECONDS
    statuses = [result.status for result in adapter.push("strict", {}, batch)]
    assert statuses == [PushStatus.PRESENT, PushStatus.PRESENT, PushStatus.WRITTEN, PushStatus.REJECTED]
    assert [server.counts("keyed")[record.key] for record in batch] == [1, 1, 1, 0]


def test_a_conflict_is_looked_up(server: ErpServer, make_adapter: MakeAdapter) -> None:
    """409 may also say that another request with the key is still worked on."""
    adapter, batch = make_adapter(), batch_for("keyed")
    conflict = Fault(FaultKind.BUSY, status=409)
    server.faults(conflict)
    with pytest.raises(InDoubt, match="still be worked on"):
        adapter.push("keyed", {}, batch)
    adapter.push("keyed", {}, batch)
    server.faults(conflict)
    assert [result.status for result in adapter.push("keyed", {}, batch)] == [PushStatus.PRESENT]
    server.faults(conflict)
    assert [result.status for result in adapter.push("sink", {}, batch)] == [PushStatus.REJECTED]
    assert (server.counts("keyed")[batch[0].key], server.counts("sink")[batch[0].key]) == (1, 0)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_credentials_that_the_system_repeats_go_no_further(
    server: ErpServer, make_adapter: MakeAdapter, operation: str
) -> None:
    adapter, batch = make_adapter(), batch_for(operation)
    told = []
    for kind in (FaultKind.ECHO, FaultKind.FAILED, FaultKind.BUSY):
        server.clear_faults()
        server.fault(kind, resource_of(operation), times=9)
        try:
            told += [result.reason for result in adapter.push(operation, {}, batch)]
        except ExternalError as exc:
            told += ["".join(traceback.format_exception(exc)), repr(exc.to_dict())]
    server.clear_faults()
    server.control(required={"authorization": "Bearer somebody else's"})
    with pytest.raises(ExternalError) as caught:
        adapter.push(operation, {}, batch)
    told.append("".join(traceback.format_exception(caught.value)))
    assert told
    assert rest_connectors.TOKEN not in " ".join(told)
    assert "internal-canary" not in " ".join(told)


def test_a_batch_that_was_looked_up_too_slowly_is_not_written(
    server: ErpServer, make_adapter: MakeAdapter
) -> None:
    """After `settles_seconds` another execution looks for the records, and sends what it does not find."""
    server.faults(Fault(FaultKind.SLOW, method="GET", probability=1.0, seconds=0.3))
    adapter = make_adapter(timeout=TIMEOUT)
    batch = [line() for _ in range(5)]
    with pytest.raises(Transient, match="batch_size"):
        adapter.push("searchable_batch", {}, batch)
    assert not any(server.counts("searchable")[record.key] for record in batch)
    server.clear_faults()
    assert push_until_settled(adapter, "searchable_batch", batch).accepted == {one.key for one in batch}


@pytest.mark.parametrize("deliver_first", [False, True])
@pytest.mark.parametrize("operation", SAFE)
def test_a_line_cut_within_the_body_is_in_doubt_and_then_settled(
    server: ErpServer, operation: str, deliver_first: bool
) -> None:
    batch = batch_for(operation)
    with cutting_proxy("127.0.0.1", server.port) as proxy:
        proxy.cut_at = str(batch[0].values["project"]).encode()
        proxy.deliver_first = deliver_first
        through = rest_connectors.adapter(server, base_url=f"http://127.0.0.1:{proxy.port}")
        with closing(through) as adapter:
            with pytest.raises(InDoubt):
                adapter.push(operation, {}, batch)
            proxy.cut_at = b""
            reported = push_until_settled(adapter, operation, batch)
    counts = server.counts(resource_of(operation))
    assert reported.accepted == {record.key for record in batch}
    assert {counts[record.key] for record in batch} == {1}


def test_a_credential_that_no_header_can_carry_is_not_quoted(server: ErpServer) -> None:
    connector = rest_connectors.connector(server)
    credentials = Vault({"erp-token": f"{rest_connectors.TOKEN}\n"})
    with (
        closing(get_adapter(connector, rest_connectors.SANDBOX, credentials)) as adapter,
        pytest.raises(AuthenticationFailed) as caught,
    ):
        adapter.push("keyed", {}, batch_for("keyed"))
    assert rest_connectors.TOKEN not in "".join(traceback.format_exception(caught.value))
