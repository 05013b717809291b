"""Gates on a real table service: never more inside than the limit, and leases end."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from azure.data.tables import TableServiceClient

from kernel.errors import Busy, Transient, Unavailable
from kernel.secrets import Secret
from localhost.services.ports import LOOPBACK, free_port
from localhost.services.stack import Endpoints
from store.gates import LEASE, Gates
from store.slots import TABLE, SlotTable
from tests.support.cutting_proxy import CuttingProxy, cutting_proxy
from tests.support.eventually import eventually
from tests.support.gate_worker import MAKE
from tests.support.services import PROJECT, Database

SHORT = timedelta(seconds=1)
_TABLES = re.compile(rf"(TableEndpoint=http://{re.escape(LOOPBACK)}):(\d+)")


@pytest.fixture
def gate() -> str:
    """The key of a connector that nobody else uses."""
    return f"erp-{uuid4().hex[:8]}"


@pytest.fixture
def proxy(stack: Endpoints) -> Iterator[CuttingProxy]:
    """A proxy before the table service."""
    found = _TABLES.search(stack.storage_connection_string)
    assert found
    with cutting_proxy(LOOPBACK, int(found[2])) as made:
        yield made


def gates(stack: Endpoints, lease: timedelta = LEASE, port: int | None = None) -> Gates:
    """Gates as another process would have them."""
    storage = stack.storage_connection_string
    return Gates(Secret(storage if port is None else _TABLES.sub(rf"\1:{port}", storage)), lease)


def has_room(stack: Endpoints, gate: str, limit: int) -> bool:
    """Whether a stranger would come in."""
    try:
        with gates(stack).enter(gate, "sandbox", limit):
            return True
    except Busy:
        return False


def test_no_more_than_the_limit_are_inside_at_once(stack: Endpoints, gate: str) -> None:
    limit, everyone, lock = 3, gates(stack), threading.Lock()
    inside = most = 0

    def pass_through(_: int) -> None:
        nonlocal inside, most
        with everyone.enter(gate, "sandbox", limit):
            with lock:
                inside += 1
                most = max(most, inside)
            gates(stack).ensure_table()  # some work
            with lock:
                inside -= 1

    def until_in(number: int) -> bool:
        try:
            pass_through(number)
        except Busy:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        waits = pool.map(lambda n: eventually(lambda: until_in(n), within=60, what="room"), range(60))
        assert all(waits)
    assert (inside, most) == (0, limit)


def test_nor_are_there_more_from_several_processes(stack: Endpoints, gate: str, database: Database) -> None:
    address = database.owner_url.replace("+psycopg", "")
    with psycopg.connect(address) as connection:
        connection.execute(MAKE)
        connection.execute("INSERT INTO inside VALUES (1, 0, 0, 0)")
    with ExitStack() as running:
        workers = [worker(stack, gate, limit=2, entries=15, record=address) for _ in range(4)]
        for process in workers:
            running.enter_context(process)
        assert [process.wait(60) for process in workers] == [0] * 4
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT now, most, entries FROM inside").fetchall() == [(0, 2, 60)]
    assert has_room(stack, gate, 1), "nobody has left anything behind"


def worker(
    stack: Endpoints, gate: str, *, limit: int, entries: int, record: str = "", lease: timedelta = LEASE
) -> subprocess.Popen[bytes]:
    """Another process; see `gate_worker`."""
    arguments = [gate, str(limit), str(entries), str(lease.total_seconds())]
    environment = {**os.environ, "STORAGE": stack.storage_connection_string, "RECORD": record}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.gate_worker", *arguments],
        cwd=PROJECT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def test_the_slot_of_a_killed_process_is_free_when_its_lease_is_over(stack: Endpoints, gate: str) -> None:
    before = time.monotonic()
    with worker(stack, gate, limit=1, entries=0, lease=2 * SHORT) as dying:
        assert dying.stdout is not None
        assert dying.stdout.readline() == b"inside\n"
        dying.send_signal(signal.SIGKILL)
    assert not has_room(stack, gate, 1)
    eventually(lambda: has_room(stack, gate, 1), what="the lease is over")
    assert time.monotonic() - before >= 2
    assert has_room(stack, gate, 1), "the slot that was taken over is freed in order"


def test_a_lease_is_renewed_as_long_as_its_holder_shows_life(stack: Endpoints, gate: str) -> None:
    with gates(stack, SHORT).enter(gate, "sandbox", 1) as slot:
        late = time.monotonic() + 3.5
        while time.monotonic() < late:
            slot.keep()
            assert not has_room(stack, gate, 1)
        eventually(lambda: has_room(stack, gate, 1), what="the lease is over without a sign of life")


def test_who_was_too_slow_is_told_and_frees_nothing(stack: Endpoints, gate: str) -> None:
    slow = ExitStack()
    slot = slow.enter_context(gates(stack, SHORT).enter(gate, "sandbox", 1))
    eventually(lambda: has_room(stack, gate, 1), what="the lease is over")
    with gates(stack).enter(gate, "sandbox", 1):
        with pytest.raises(Transient, match="SLUICE_GATE_LEASE"):
            slot.keep()
        slow.close()
        assert not has_room(stack, gate, 1)


def test_who_was_too_slow_goes_on_if_nobody_wanted_the_slot(stack: Endpoints, gate: str) -> None:
    everyone = gates(stack, SHORT)
    with everyone.enter(gate, "sandbox", 1) as slot:
        eventually(lambda: _is_over(stack, gate), what="the lease is over")
        slot.keep()
        assert not has_room(stack, gate, 1)


def _is_over(stack: Endpoints, gate: str) -> bool:
    look = SlotTable(Secret(stack.storage_connection_string)).look(f"sandbox:{gate}")
    return look.at is not None and all(row.is_over(look.at) for row in look.rows)


def test_a_lower_limit_holds_as_soon_as_so_many_have_left(stack: Endpoints, gate: str) -> None:
    inside = [ExitStack() for _ in range(4)]
    for one in inside:
        one.enter_context(gates(stack).enter(gate, "sandbox", 4))
    room = []
    for one in inside:
        room.append(has_room(stack, gate, 2))
        one.close()
    assert room == [False, False, False, True]
    with gates(stack).enter(gate, "sandbox", 2), gates(stack).enter(gate, "sandbox", 2):
        assert not has_room(stack, gate, 2)
        assert has_room(stack, gate, 3), "a higher limit holds at once"


def test_connectors_and_environments_have_gates_of_their_own(stack: Endpoints, gate: str) -> None:
    everyone = gates(stack)
    others = everyone.enter(gate, "production", 1), everyone.enter(f"{gate}-2", "sandbox", 1)
    with everyone.enter(gate, "sandbox", 1), others[0], others[1]:
        assert not has_room(stack, gate, 1)


def test_a_gate_costs_two_requests_and_sometimes_a_look(
    stack: Endpoints, gate: str, caplog: pytest.LogCaptureFixture
) -> None:
    costs, everyone = [], gates(stack)
    everyone.ensure_table()
    with caplog.at_level(logging.INFO, "azure.core.pipeline.policies.http_logging_policy"):
        for limit in (None, 5, 5, 5, 4):
            caplog.clear()
            with everyone.enter(gate, "sandbox", limit) as slot:
                slot.keep()
            costs.append(caplog.text.count("Request URL"))
    assert costs == [0, 3, 2, 2, 3]


def test_a_missing_table_is_created(stack: Endpoints, gate: str) -> None:
    with TableServiceClient.from_connection_string(stack.storage_connection_string) as service:
        service.delete_table(TABLE)
    with gates(stack).enter(gate, "sandbox", 1):
        assert not has_room(stack, gate, 1)
    gates(stack).ensure_table()


def test_an_error_inside_frees_the_slot(stack: Endpoints, gate: str) -> None:
    with pytest.raises(KeyError), gates(stack).enter(gate, "sandbox", 1):
        raise KeyError
    assert has_room(stack, gate, 1)


def test_a_service_that_is_away_is_unavailable_soon(stack: Endpoints, gate: str) -> None:
    began, away = time.monotonic(), gates(stack, port=free_port())
    with pytest.raises(Unavailable, match="Table Storage"), away.enter(gate, "sandbox", 1):
        raise AssertionError("nobody comes in")
    assert time.monotonic() - began < 10


def test_who_is_inside_does_not_notice_that_the_service_is_away(
    stack: Endpoints, gate: str, proxy: CuttingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    lease = timedelta(seconds=30)
    with gates(stack, lease, proxy.port).enter(gate, "sandbox", 1) as slot:
        proxy.cut_at = b"HTTP"
        slot.keep()
    assert [record.message for record in caplog.records] == ["slot not freed"]


def test_a_lease_that_cannot_be_renewed_any_more_is_unavailable(
    stack: Endpoints, gate: str, proxy: CuttingProxy
) -> None:
    with gates(stack, SHORT, proxy.port).enter(gate, "sandbox", 1) as slot:
        eventually(lambda: _is_over(stack, gate), what="the lease is over")
        proxy.cut_at = b"HTTP"
        with pytest.raises(Unavailable):
            slot.keep()
        proxy.cut_at = b""


def test_answers_that_were_lost_change_nothing(stack: Endpoints, gate: str, proxy: CuttingProxy) -> None:
    everyone = gates(stack, SHORT, proxy.port)
    with everyone.enter(gate, "sandbox", 1):
        pass  # the process knows the gate now
    proxy.cut_at, proxy.deliver_first, proxy.cuts = b'"holder"', True, 1
    with everyone.enter(gate, "sandbox", 1) as slot:
        assert (proxy.cuts, has_room(stack, gate, 1)) == (0, False), (
            "an insert that was answered the second time"
        )
        eventually(lambda: _is_over(stack, gate), what="it is time to renew")
        proxy.cuts = 1
        slot.keep()
        assert (proxy.cuts, has_room(stack, gate, 1)) == (0, False)
        proxy.cut_at, proxy.cuts = b"DELETE", 1
    assert (proxy.cuts, has_room(stack, gate, 1)) == (0, True)
