"""Who takes part in the comparison, and how."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers.measuring import Amounts

SINGLE, FAN_OUT, SIGNAL = "W1", "W2", "W3"
ALL = frozenset({SINGLE, FAN_OUT, SIGNAL})


@dataclass(frozen=True)
class Contender:
    """One engine in one way of using it.

    `works` are those that make sense for it. A slow one gets a `share` of the amounts and `fan_out_limit`
    chunks at most, so that a round ends: rates and medians need no more. `extension` is one of PostgreSQL's
    own that our server comes without.
    """

    name: str
    title: str
    module: str
    variant: str = ""
    works: frozenset[str] = ALL
    share: float = 1.0
    fan_out_limit: int = 1_000_000
    extension: str = ""

    @property
    def own(self) -> bool:
        """Whether it is this engine, which runs in the product's Python environment."""
        return self.module.startswith("benchmarks.own.")

    def amounts(self, full: Amounts) -> Amounts:
        """What it is to do when the others do `full`."""
        single, fan_out, signal = (work in self.works for work in (SINGLE, FAN_OUT, SIGNAL))
        return Amounts(
            single=self._part(full.single) if single else 0,
            together=self._part(full.together) if single else 0,
            fan_outs=tuple(n for n in full.fan_outs if n <= self.fan_out_limit) if fan_out else (),
            waiting=self._part(full.waiting) if signal else 0,
            signals=self._part(full.signals) if signal else 0,
        )

    def _part(self, count: int) -> int:
        return max(1, round(count * self.share)) if count else 0


_OWN, _FLOOR, _DBOS = "benchmarks.own.engine", "benchmarks.peers.floor_work", "benchmarks.peers.dbos_work"
_ARQ, _PREFECT = "benchmarks.peers.arq_work", "benchmarks.peers.prefect_work"

CONTENDERS: Sequence[Contender] = (
    Contender("sluice", "this engine", _OWN, works=frozenset({SINGLE, SIGNAL})),
    Contender("sluice-1", "this engine, an activity a chunk", _OWN, "1", frozenset({FAN_OUT})),
    Contender("sluice-50", "this engine, 50 chunks an activity", _OWN, "50", frozenset({FAN_OUT})),
    Contender("floor", "psycopg, one row per state", _FLOOR),
    Contender("floor-50", "psycopg, batches of 50", _FLOOR, "50", frozenset({FAN_OUT})),
    Contender("dbos", "DBOS, direct", _DBOS),
    Contender("dbos-queue", "DBOS, queue", _DBOS, "queue", frozenset({SINGLE, FAN_OUT})),
    Contender("arq", "ARQ, state rows by hand", _ARQ),
    Contender("prefect", "Prefect", _PREFECT, share=0.05, fan_out_limit=1000, extension="pg_trgm"),
)
