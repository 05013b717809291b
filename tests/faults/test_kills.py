"""`kill -9` of the host at random moments, while runs of every idempotency class post."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.faults.deployment import Deployment
from tests.faults.load import Kind, Load, new_load
from tests.faults.tally import Tally, tally
from tests.support.erp_server.faults import Fault, FaultKind
from tests.support.eventually import eventually
from workflows.states import RunState

SIZE, BATCH = 500, 5
RECORDS_PER_KILL = 30
"""Few kills do not need long runs."""
LATENCY = 0.03
TIMEOUT = 1
PATIENCE = 3
"""Lives that may end before they got anything done: more in a row than `max_recoveries` would be poison."""


@dataclass
class Series:
    """Runs of one kind after the other, as many as it takes."""

    deployment: Deployment
    kind: Kind
    size: int
    runs: dict[str, Load] = field(default_factory=dict)
    seen: int = 0

    def keep_going(self) -> None:
        """Start a run when none is open."""
        if not self.open:
            load = new_load(self.kind, self.size)
            self.runs[self.deployment.start(load)] = load
            self.seen = 0

    @property
    def open(self) -> bool:
        """Whether the last run has not ended."""
        return bool(self.runs) and not self.deployment.is_over(list(self.runs)[-1])

    def got_on(self) -> bool:
        """Whether the run has posted something since `mark`, or has ended."""
        return not self.open or self._posted() > self.seen

    def mark(self) -> None:
        """From here on something has to be posted to count."""
        self.seen = self._posted()

    def _posted(self) -> int:
        return self.deployment.confirmed(list(self.runs)[-1]) if self.runs else 0


@dataclass
class Killing:
    """Kills the host again and again; `recoveries` are the seconds from a kill until every run got on."""

    deployment: Deployment
    series: list[Series]
    choice: random.Random
    kills: int = 0
    idle: int = 0
    recoveries: list[float] = field(default_factory=list)

    def kill_once(self) -> None:
        """Another life: it ends at any moment, from the start of the process until long after progress."""
        for one in self.series:
            one.mark()
        killed = self.deployment.kill()
        self.kills += 1
        self.deployment.launch()
        if self.idle < PATIENCE and self.choice.random() < 0.2:
            self.idle += 1
            time.sleep(self.choice.uniform(0, 3))  # a random moment
            return
        self.deployment.wait_ready()
        self.recoveries.append(self.wait_progress() - killed)
        self.idle = 0
        for one in self.series:
            one.keep_going()
        time.sleep(self.choice.uniform(0, 0.6))  # a random moment

    def wait_progress(self) -> float:
        """When every open run has got on."""
        got_on = lambda: all(one.got_on() for one in self.series)  # noqa: E731
        eventually(got_on, within=30, what="every run gets on after a kill")
        return time.monotonic()


@pytest.mark.timeout(3600)
def test_kill_9(deployment: Deployment, kills: int, report: Callable[[Tally], None]) -> None:
    deployment.register(batch_size=BATCH, timeout=TIMEOUT)
    late = Fault(FaultKind.LATE, method="POST", probability=0.5, seconds=LATENCY, seed=1)
    deployment.erp.faults(late, Fault(FaultKind.SLOW, method="POST", probability=1.0, seconds=LATENCY))
    size = min(SIZE, RECORDS_PER_KILL * kills)
    series = [Series(deployment, kind, size) for kind in Kind]
    for one in series:
        one.keep_going()
    killing = Killing(deployment, series, random.Random(7))  # noqa: S311 - moments, not secrets
    killing.wait_progress()
    while killing.kills < kills:
        killing.kill_once()
    deployment.up()
    for one in series:
        _settle(one, killing, report)


def _settle(series: Series, killing: Killing, report: Callable[[Tally], None]) -> None:
    deployment, kind = series.deployment, series.kind
    total = Tally(f"kill -9 / {kind}", killing.kills, recoveries=killing.recoveries)
    for run_id, load in series.runs.items():
        state = deployment.wait_end(run_id)
        one = tally(total.fault, 0, load, state, deployment.erp.ledger(), deployment.postings())
        total += one
        assert state is (RunState.FAILED if one.held else RunState.SUCCEEDED), deployment.failure(run_id)
        if one.held:
            assert (deployment.failure(run_id) or {})["code"] == "in_doubt"
    assert total.held <= (killing.kills * BATCH if kind is Kind.NONE else 0)
    report(total)
