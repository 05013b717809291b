"""Who has what: the ERP's own ledger against what Sluice says of each record."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tests.faults.load import Load
from tests.support.erp_server.ledger import Line
from workflows.states import PostingState, RunState

_ALLOWED = {
    PostingState.CONFIRMED: (1,),
    PostingState.REJECTED: (0,),
    PostingState.INTENDED: (0,),
    PostingState.IN_DOUBT: (0, 1),
}
"""How many lines the ERP may have of a record in each state, once its run has ended. SENT is no end."""


@dataclass(frozen=True)
class Tally:
    """What came of one fault. `expected` lines are those of records that are neither held nor refused; `held`
    are in doubt, or were not sent when the run ended."""

    fault: str
    injected: int
    expected: int = 0
    found: int = 0
    held: int = 0
    refused: int = 0
    duplicates: int = 0
    lost: int = 0
    recoveries: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __add__(self, other: Self) -> Self:
        parts = asdict(self)
        more = {name: value + getattr(other, name) for name, value in parts.items() if name != "fault"}
        return type(self)(self.fault, **more)

    def check(self) -> None:
        """Fails the test unless the books agree."""
        assert (self.duplicates, self.lost, self.found, self.wrong) == (0, 0, self.expected, []), self

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


def tally(
    fault: str, injected: int, load: Load, ended: RunState, lines: Iterable[Line],
    states: Mapping[str, PostingState], recoveries: Iterable[float] = (),
) -> Tally:  # fmt: skip
    """Compare the records of a load, whose run has ended so, with the ERP's lines and the posting ledger.

    `states` are by idempotency key. A record that has no line must be held or refused where people see it:
    a run that did not succeed shows what it has not sent.
    """
    keys = load.keys
    amounts = {project: f"{number}.25" for number, project in enumerate(load.projects)}
    mine = [line for line in lines if line.resource == load.kind.resource and line.key in keys]
    counts = Counter(str(line.values["project"]) for line in mine)
    of = {project: states[key] for key, project in keys.items()}
    wrong = [line.key for line in mine if amounts[str(line.values["project"])] != line.values["amount"]]
    wrong += [f"{state} with {counts[one]}" for one, state in of.items() if _disagree(state, counts[one])]
    unsent = () if ended is RunState.SUCCEEDED else (PostingState.INTENDED,)
    held = (PostingState.IN_DOUBT, *unsent)
    visible = (*held, PostingState.REJECTED)
    return Tally(
        fault,
        injected,
        expected=sum(state not in visible for state in of.values()),
        found=sum(counts[project] for project, state in of.items() if state not in visible),
        held=sum(state in held for state in of.values()),
        refused=sum(state is PostingState.REJECTED for state in of.values()),
        duplicates=sum(count - 1 for count in counts.values() if count > 1),
        lost=sum(counts[project] == 0 and state not in visible for project, state in of.items()),
        recoveries=list(recoveries),
        wrong=wrong,
    )


def _disagree(state: PostingState, lines: int) -> bool:
    return lines not in _ALLOWED.get(state, ())
