"""What the comparison says in the end: tables for people, a document for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import figures
from benchmarks.contenders import FAN_OUT, SIGNAL, SINGLE, Contender
from benchmarks.figures import Metric
from benchmarks.peers.measuring import Amounts, Measured

_WORKS = {
    SINGLE: "One run of three steps: {single} one at a time, then {together} submitted together",
    FAN_OUT: "Fan-out: a parent with so many chunks of two steps",
    SIGNAL: "Signal: {waiting:,} runs wait, {signals} are woken one at a time",
}
_UNCOMPARED = frozenset({"start_p50", "memory"})


@dataclass
class Results:
    """What came of all rounds, by contender. `loads`: the machine's load average before each turn."""

    rounds: dict[str, list[Measured | None]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """Everything that was measured, and of whom."""

    contenders: Sequence[Contender]
    amounts: Amounts
    results: Results

    def text(self) -> str:
        """Tables and what must be known of them."""
        return "\n".join([*self._tables(), "", self._memory(), self._load(), *self._failures()])

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "amounts": asdict(self.amounts),
            "engines": {each.name: self._engine(each) for each in self.contenders},
            "failures": self.results.failures,
            "load": [min(self.results.loads, default=0.0), max(self.results.loads, default=0.0)],
        }

    def _metrics(self) -> list[Metric]:
        return figures.metrics(self.amounts.fan_outs)

    def _own(self) -> list[Contender]:
        return [each for each in self.contenders if each.own]

    def _rounds(self, contender: Contender) -> list[Measured | None]:
        return self.results.rounds[contender.name]

    def _tables(self) -> Iterator[str]:
        for work, title in _WORKS.items():
            metrics = [metric for metric in self._metrics() if metric.work == work]
            measured = [
                each
                for each in self.contenders
                if any(figures.figure(metric, self._rounds(each)) for metric in metrics)
            ]
            if measured:
                yield f"\n{work}. {title.format(**asdict(self.amounts))}\n"
                yield self._figures(measured, metrics)
                yield from self._ratios(
                    measured, [metric for metric in metrics if metric.key not in _UNCOMPARED]
                )

    def _figures(self, contenders: Sequence[Contender], metrics: Sequence[Metric]) -> str:
        """Medians and ranges."""
        rows = [
            [each.title, *(figures.shown(figures.figure(metric, self._rounds(each))) for metric in metrics)]
            for each in contenders
        ]
        return figures.table(["engine", *(metric.title for metric in metrics)], rows)

    def _ratios(self, contenders: Sequence[Contender], metrics: Sequence[Metric]) -> Iterator[str]:
        """How many times better each way of this engine is than each of the others."""
        own = [each for each in contenders if each.own]
        others = [each for each in contenders if not each.own]
        if not own or not others:
            return
        head = [f"{ours.name}: {metric.title.removesuffix(' ms')}" for ours in own for metric in metrics]
        rows = []
        for each in others:
            ratios = [
                figures.ratio(metric, self._rounds(ours), self._rounds(each))
                for ours in own
                for metric in metrics
            ]
            rows.append([each.title, *map(figures.number, ratios)])
        yield "\n" + figures.table(["times better than", *head], rows)

    def _engine(self, contender: Contender) -> dict[str, Any]:
        metrics, mine = self._metrics(), self._rounds(contender)
        compared = [metric for metric in metrics if metric.key not in _UNCOMPARED]
        ratios = {own.name: figures.all_ratios(compared, self._rounds(own), mine) for own in self._own()}
        return {
            "title": contender.title,
            "figures": figures.all_figures(metrics, mine),
            "ratios": {name: found for name, found in ratios.items() if found and name != contender.name},
        }

    def _memory(self) -> str:
        memory = next(metric for metric in self._metrics() if metric.key == "memory")
        found = {each.title: figures.figure(memory, self._rounds(each)) for each in self.contenders}
        peaks = "; ".join(f"{title} {value.high:.0f}" for title, value in found.items() if value)
        return f"Most memory of the processes that execute, MB: {peaks}."

    def _load(self) -> str:
        loads = self.results.loads or [0.0]
        return f"Load of the machine before each turn: {min(loads):.1f} to {max(loads):.1f}."

    def _failures(self) -> Iterator[str]:
        for name, reason in self.results.failures.items():
            yield f"Not measured: {name}. {reason}"
