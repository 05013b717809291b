"""How an engine is measured: the same loops around the same few calls for every one of them."""

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from benchmarks.peers import work
from benchmarks.peers.processes import cpu_seconds, peak_megabytes
from benchmarks.peers.sink import Sink

WARM_UP = 20
WARM_UP_TOGETHER = 60  # enough to reach every thread of every worker


class Engine(Protocol):
    """What an engine must be able to do. A unit names one run: it is the key of the row that it pushes."""

    def start(self, unit: str) -> Any:
        """Submit one run; returns when it is durable, with whatever `finish` needs."""
        ...

    def finish(self, handle: Any) -> None:
        """Return when the run has ended well, and its state says so durably."""
        ...

    def run_all(self, units: Sequence[str]) -> None:
        """Submit all runs as fast as possible; returns when all have ended well."""
        ...

    def fan_out(self, group: str, count: int) -> None:
        """Submit a parent of so many chunks, named by `work.chunk_unit`; returns with the parent's result."""
        ...

    def suspend_all(self, units: Sequence[str]) -> None:
        """Submit runs that wait for a signal; returns when all wait."""
        ...

    def signal(self, unit: str) -> None:
        """Let a waiting run go on."""
        ...

    def processes(self) -> list[int]:
        """The processes that execute the work, without databases and servers."""
        ...


@dataclass(frozen=True)
class Amounts:
    """How much of each work to do. 0 and () leave it out."""

    single: int = 0
    together: int = 0
    fan_outs: tuple[int, ...] = ()
    waiting: int = 0
    signals: int = 0


@dataclass
class Measured:
    """One round of one engine. Times in milliseconds, one for each run or signal; rates per second.

    `run_cpu` and `chunk_cpu` are processor time of the processes that execute, in milliseconds: for each run
    of those submitted together, and for each chunk of the last fan-out. On a busy machine they tell more than
    rates.
    """

    start: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    together: float | None = None
    run_cpu: float | None = None
    chunk_cpu: float | None = None
    fan_outs: dict[int, float] = field(default_factory=dict)
    signal: list[float] = field(default_factory=list)
    memory: float | None = None
    faults: dict[str, str] = field(default_factory=dict)
    """By work: why it could not be measured."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def measure(engine: Engine, sink: Sink, amounts: Amounts) -> Measured:
    """Do all the work once, checking what it leaves in the sink. What fails leaves the others alone."""
    measured = Measured()
    with _noting(measured, "W1"):
        if amounts.single:
            _single(engine, sink, amounts.single, measured)
        if amounts.together:
            _together(engine, sink, amounts.together, measured)
    with _noting(measured, "W2"):
        if amounts.fan_outs:
            engine.fan_out(f"warm-{uuid4().hex[:8]}", min(WARM_UP_TOGETHER, *amounts.fan_outs))
        for count in amounts.fan_outs:
            _fan_out(engine, sink, count, measured)
    with _noting(measured, "W3"):
        if amounts.signals:
            measured.signal = _signals(engine, sink, amounts.waiting, amounts.signals)
    measured.memory = peak_megabytes(engine.processes())
    return measured


@contextmanager
def _noting(measured: Measured, work_name: str) -> Iterator[None]:
    """Write down why a work cannot be measured."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - whatever engines raise
        traceback.print_exc()
        measured.faults[work_name] = f"{type(exc).__name__}: {exc}"


def _units(what: str, count: int) -> list[str]:
    group = f"{what}-{uuid4().hex[:8]}"
    return [f"{group}-{number:04}" for number in range(count)]


def _single(engine: Engine, sink: Sink, count: int, measured: Measured) -> None:
    """One run at a time."""
    for unit in _units("warm", min(WARM_UP, count)):
        engine.finish(engine.start(unit))
    units = _units("one", count)
    for unit in units:
        began = time.perf_counter()
        handle = engine.start(unit)
        started = time.perf_counter()
        engine.finish(handle)
        ended = time.perf_counter()
        measured.start.append((started - began) * 1000)
        measured.end.append((ended - began) * 1000)
    sink.expect({unit: work.pushed_by_run(unit) for unit in units})


def _together(engine: Engine, sink: Sink, count: int, measured: Measured) -> None:
    """Many runs at once."""
    engine.run_all(_units("warm", min(WARM_UP_TOGETHER, count)))
    units = _units("many", count)
    cpu, began = cpu_seconds(engine.processes()), time.perf_counter()
    engine.run_all(units)
    measured.together = count / (time.perf_counter() - began)
    measured.run_cpu = (cpu_seconds(engine.processes()) - cpu) / count * 1000
    sink.expect({unit: work.pushed_by_run(unit) for unit in units})


def _fan_out(engine: Engine, sink: Sink, count: int, measured: Measured) -> None:
    """One parent."""
    group = f"fan-{uuid4().hex[:8]}"
    cpu, began = cpu_seconds(engine.processes()), time.perf_counter()
    engine.fan_out(group, count)
    measured.fan_outs[count] = count / (time.perf_counter() - began)
    measured.chunk_cpu = (cpu_seconds(engine.processes()) - cpu) / count * 1000
    units = [work.chunk_unit(group, number) for number in range(count)]
    sink.expect({unit: work.pushed_by_chunk(unit, number) for number, unit in enumerate(units)})


def _signals(engine: Engine, sink: Sink, waiting: int, count: int) -> list[float]:
    """From just before a signal is sent to the row in the sink, one at a time, while all others wait."""
    units = _units("wait", waiting)
    engine.suspend_all(units)
    # From all over: those that came first and last are not like the others.
    chosen = units[:: max(1, waiting // count)][:count]
    times = []
    for unit in chosen:
        began = time.time()
        engine.signal(unit)
        times.append((sink.written_at(unit) - began) * 1000)
    sink.expect({unit: work.pushed_by_run(unit) for unit in chosen})
    return times
