"""How engines are measured, with one that does its work at once. Nothing here is timed."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from benchmarks.peers import work
from benchmarks.peers.measuring import Amounts, measure
from benchmarks.peers.sink import Sink, WrongResult, create
from localhost.services.stack import Stack
from tests.support.services import fresh_database


class Immediate:
    """Does everything in the call, and what it is told to do wrong."""

    def __init__(self, sink: Sink, *, lossy: bool = False, broken: str = "") -> None:
        self._sink = sink
        self._lossy = lossy
        self._broken = broken
        self.waiting: list[str] = []

    def start(self, unit: str) -> str:
        return unit

    def finish(self, handle: Any) -> None:
        if not (self._lossy and handle.endswith("-0001")):
            self._sink.push(handle, work.pushed_by_run(handle))

    def run_all(self, units: Sequence[str]) -> None:
        for unit in units:
            self.finish(unit)

    def fan_out(self, group: str, count: int) -> None:
        if self._broken:
            raise RuntimeError(self._broken)
        units = [work.chunk_unit(group, number) for number in range(count)]
        self._sink.push_all({unit: work.pushed_by_chunk(unit, number) for number, unit in enumerate(units)})

    def suspend_all(self, units: Sequence[str]) -> None:
        self.waiting = list(units)

    def signal(self, unit: str) -> None:
        self.waiting.remove(unit)
        self.finish(unit)

    def processes(self) -> list[int]:
        return []


@pytest.fixture
def sink(services: Stack) -> Iterator[Sink]:
    with fresh_database(services) as database:
        url = database.owner_url.replace("+psycopg", "")
        create(url)
        with Sink(url) as opened:
            yield opened


AMOUNTS = Amounts(single=4, together=5, fan_outs=(3, 6), waiting=10, signals=4)


def test_everything_that_is_asked_for_is_measured(sink: Sink) -> None:
    engine = Immediate(sink)
    measured = measure(engine, sink, AMOUNTS)
    assert (len(measured.start), len(measured.end), len(measured.signal)) == (4, 4, 4)
    assert cast(float, measured.together) > 0
    assert set(measured.fan_outs) == {3, 6}
    assert measured.faults == {}
    assert len(engine.waiting) == 6, "the others go on waiting"


def test_what_is_not_asked_for_is_left_out(sink: Sink) -> None:
    measured = measure(Immediate(sink), sink, Amounts(single=2))
    assert (measured.together, measured.fan_outs, measured.signal) == (None, {}, [])


def test_a_row_that_is_missing_spoils_its_work_only(sink: Sink) -> None:
    measured = measure(Immediate(sink, lossy=True), sink, Amounts(single=3, fan_outs=(3,)))
    assert "The sink has 2 rows for 3 units" in measured.faults["W1"]
    assert set(measured.fan_outs) == {3}


def test_an_engine_that_fails_is_quoted(sink: Sink) -> None:
    measured = measure(Immediate(sink, broken="no chunks today"), sink, AMOUNTS)
    assert measured.faults == {"W2": "RuntimeError: no chunks today"}
    assert measured.signal


def test_other_content_is_found(sink: Sink) -> None:
    sink.push("unit", "something else")
    with pytest.raises(WrongResult, match="1 of them hold something else"):
        sink.expect({"unit": work.pushed_by_run("unit")})
