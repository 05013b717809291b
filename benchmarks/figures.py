"""What is made of measurements: medians over rounds, ranges, ratios, tables. Arithmetic only."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.peers.measuring import Measured

type Rounds = Sequence[Measured | None]
"""One engine's rounds; `None` where it could not be measured."""


@dataclass(frozen=True)
class Metric:
    """One number of a round. `work` is the work that it tells of."""

    key: str
    title: str
    work: str
    of: Callable[[Measured], float | None]
    more_is_better: bool


@dataclass(frozen=True)
class Figure:
    """A metric over several rounds: its median and its range."""

    median: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """As JSON has it."""
        return asdict(self)


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The smallest value that so many percent of all values do not exceed; None without values."""
    if not values:
        return None
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(rank, 1) - 1]


def metrics(fan_outs: Sequence[int]) -> list[Metric]:
    """All metrics, in the order in which they are shown."""
    return [
        Metric("start_p50", "start p50 ms", "W1", lambda m: percentile(m.start, 50), False),
        Metric("end_p50", "end to end p50 ms", "W1", lambda m: percentile(m.end, 50), False),
        Metric("end_p95", "p95 ms", "W1", lambda m: percentile(m.end, 95), False),
        Metric("together", "runs/s", "W1", lambda m: m.together, True),
        Metric("run_cpu", "CPU ms a run", "W1", lambda m: m.run_cpu, False),
        *(_fan_out(count) for count in fan_outs),
        Metric("chunk_cpu", "CPU ms a chunk", "W2", lambda m: m.chunk_cpu, False),
        Metric("signal_p50", "signal p50 ms", "W3", lambda m: percentile(m.signal, 50), False),
        Metric("signal_p95", "p95 ms", "W3", lambda m: percentile(m.signal, 95), False),
        Metric("memory", "memory MB", "", lambda m: m.memory, False),
    ]


def _fan_out(count: int) -> Metric:
    return Metric(f"fan_out_{count}", f"{count:,} chunks/s", "W2", lambda m: m.fan_outs.get(count), True)


def figure(metric: Metric, rounds: Rounds) -> Figure | None:
    """The metric over the rounds that have it; None when none has."""
    values = [value for value in _values(metric, rounds) if value is not None]
    return Figure(statistics.median(values), min(values), max(values)) if values else None


def ratio(metric: Metric, ours: Rounds, theirs: Rounds) -> float | None:
    """How many times better ours are: the median of the ratios of rounds that were measured side by side."""
    pairs = zip(_values(metric, ours), _values(metric, theirs), strict=False)
    ratios = [own / other if metric.more_is_better else other / own for own, other in pairs if own and other]
    return statistics.median(ratios) if ratios else None


def _values(metric: Metric, rounds: Rounds) -> list[float | None]:
    return [None if measured is None else metric.of(measured) for measured in rounds]


def number(value: float | None) -> str:
    """Three digits, or all before the point; a dash for nothing."""
    if value is None:
        return "-"
    decimals = 0 if abs(value) >= 99.5 else 1 if abs(value) >= 9.95 else 2
    return f"{value:,.{decimals}f}"


def shown(value: Figure | None) -> str:
    """The median, with the range where rounds differ."""
    if value is None:
        return "-"
    spread = f" ({number(value.low)}-{number(value.high)})" if value.low != value.high else ""
    return number(value.median) + spread


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width: the first to the left, all others to the right."""
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip()

    return "\n".join([line(head), "  ".join("-" * width for width in widths), *map(line, rows)])


def all_figures(chosen: Sequence[Metric], rounds: Rounds) -> dict[str, dict[str, float]]:
    """The figures of one engine by metric, as JSON has them."""
    found = {metric.key: figure(metric, rounds) for metric in chosen}
    return {key: value.to_dict() for key, value in found.items() if value}


def all_ratios(chosen: Sequence[Metric], ours: Rounds, theirs: Rounds) -> dict[str, float]:
    """The ratios to one engine by metric, for those that both have."""
    found = {metric.key: ratio(metric, ours, theirs) for metric in chosen}
    return {key: round(value, 3) for key, value in found.items() if value is not None}
