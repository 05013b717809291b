"""How an execution learns that it must stop: the run row says so, and it is asked before every effect."""

from sqlalchemy import Connection

from activities.services import Services
from activities.work import Work
from store import runs
from store.runs import RunRow, Signal


class Interrupted(Exception):
    """The run does not want this execution to go on. Nothing is half done; `signal` says why."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal.value)
        self.signal = signal


def check_going(connection: Connection, work: Work, *, alone: bool = False) -> None:
    """Raise `Interrupted` unless the run goes on; if it does, it cannot be stopped before this transaction
    ends. `alone` is for who changes the run itself; see `runs.signal`."""
    signal = runs.signal(connection, work.run.id, work.run.execution, work.services.clock(), alone=alone)
    if signal is not Signal.GO:
        raise Interrupted(signal)


def check_current(connection: Connection, services: Services, run: RunRow, *, alone: bool = False) -> None:
    """Raise `Interrupted` when the run has ended or another execution works on it: what this one has found
    out is not written down any more. `alone` is for who changes the run itself; see `runs.signal`."""
    signal = runs.signal(connection, run.id, run.execution, services.clock(), alone=alone)
    if signal is Signal.OVERTAKEN:
        raise Interrupted(signal)
