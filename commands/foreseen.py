"""What a forecast says: of records, of chunks, of steps, and of all together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from workflows.actions import Action
from workflows.states import TaskState


@dataclass(frozen=True)
class Counts:
    """What happens to records of a write."""

    posts: int = 0
    posts_again: int = 0
    """Refused before."""
    skips_confirmed: int = 0
    looks_up: int = 0
    sends_again: int = 0
    """In doubt, sent under the same key to a system that recognises it."""
    holds: int = 0
    in_flight: int = 0
    """Sent at this moment; their answers are still taken."""
    waits: int = 0
    """Posted when the run is resumed."""
    elsewhere: int = 0
    """In the hands of other runs: skipped once they are confirmed there."""

    def __add__(self, other: "Counts") -> "Counts":
        names = [part.name for part in fields(self)]
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class ChunkCounts:
    """What happens to the chunks of a dispatch."""

    runs: int = 0
    stands: int = 0
    """Not touched again."""
    waits: int = 0
    """Run when the run is resumed."""
    ends: int = 0


@dataclass(frozen=True)
class StepForecast:
    """What becomes of one step. `will` is one word for it; `known` says whether the counts are all of it.
    Dispatches have `chunks`; the writes inside them are steps of their own."""

    step: str
    verb: str
    state: TaskState
    will: str
    counts: Counts = Counts()
    known: bool = True
    chunks: ChunkCounts | None = None


@dataclass(frozen=True)
class NestedCounts:
    """What happens to open runs below the run."""

    ends: int = 0
    goes_on: int = 0


@dataclass(frozen=True)
class ApprovalCounts:
    """What happens to requests for approval."""

    renews: int = 0
    """Approved; asked again if the records are other ones by then."""
    asks: int = 0
    """Asked again in any case."""
    stays: int = 0
    """Open, and they stay so."""
    ends: int = 0

    def words(self) -> Iterator[str]:
        """The same for people."""
        texts = {
            "renews": "asks for {:,} approvals again if the records have changed",
            "asks": "asks for {:,} approvals again",
            "stays": "{:,} approvals stay open",
            "ends": "{:,} open approvals end",
        }
        for name, text in texts.items():
            if count := getattr(self, name):
                said = text.format(count)
                yield said.replace("approvals", "approval", 1) if count == 1 else said


@dataclass(frozen=True)
class Forecast:
    """What an action would do, or why it cannot be done."""

    action: Action
    allowed: bool
    summary: str
    why_not: str | None = None
    steps: Sequence[StepForecast] = ()
    nested: NestedCounts = NestedCounts()
    approvals: ApprovalCounts = ApprovalCounts()
