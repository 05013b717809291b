"""Names, inputs and outputs of activities: all that orchestrators may know of them.

What crosses is ids, counts and enum values only; Durable history is readable in clear.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

RUN_SEGMENT = "run_segment"
RUN_CHUNKS = "run_chunks"
NOTIFY = "notify"


class Next(StrEnum):
    """What the orchestrator does after a segment."""

    CONTINUE = "continue"
    """Run `segment` next (the same one again when it stopped to stay within its time)."""
    RETRY = "retry"
    """Wait `wait_seconds` or until woken, then run `segment` again."""
    SUSPENDED = "suspended"
    """Wait until woken, for `wait_seconds`, or until one of `approvals` is decided, then run `segment`
    again."""
    DISPATCH = "dispatch"
    """Run the chunks of `pages`, then `segment` again."""
    NESTED = "nested"
    """Run the run `child`, then `segment` again."""
    REFUSED = "refused"
    """There is no such run: fail without having changed anything."""
    ENDED = "ended"
    """The run is in a terminal state, or another execution works on it."""


@dataclass(frozen=True)
class SegmentInput:
    """Which segment of which run, and for which of the run's executions."""

    run_id: str
    segment: int
    execution: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form. The first execution is left out, as it was before there were others."""
        return {name: value for name, value in asdict(self).items() if name != "execution" or value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(str(data["run_id"]), int(data["segment"]), int(data.get("execution", 0)))


@dataclass(frozen=True)
class Pages:
    """Which pages of a dispatch are to be run, `first` to `last`, and how many chunks of them at once.

    `execution` wrote them; a page has `size` chunks, the last one perhaps fewer; `batch` of them share an
    activity.
    """

    step: str
    execution: int
    first: int
    last: int
    size: int
    batch: int
    concurrency: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """From its JSON-ready form."""
        numbers = (int(data[name]) for name in ("execution", "first", "last", "size", "batch", "concurrency"))
        return cls(str(data["step"]), *numbers)


@dataclass(frozen=True)
class Outcome:
    """What came of a segment. `state` is the run's state when it ended."""

    next: Next
    segment: int = 0
    wait_seconds: float = 0.0
    state: str = ""
    pages: Pages | None = None
    child: str = ""
    child_execution: int = 0
    approvals: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, without what only some outcomes have."""
        parts = {name: value for name, value in asdict(self).items() if name not in _RARE or value}
        return parts | {"approvals": list(self.approvals)} if self.approvals else parts

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        pages = Pages.from_dict(data["pages"]) if data.get("pages") else None
        known = (Next(data["next"]), int(data["segment"]), float(data["wait_seconds"]), str(data["state"]))
        child = str(data.get("child", "")), int(data.get("child_execution", 0))
        return cls(*known, pages, *child, tuple(str(one) for one in data.get("approvals", ())))


_RARE = frozenset({"pages", "child", "child_execution", "approvals"})


@dataclass(frozen=True)
class ChunksInput:
    """Which chunks of a page: `count` of them from `first` on, or those at `positions`.

    `run_execution` is the run's execution that asks; `execution` the one that wrote the page. `alone` is for
    a chunk that may have killed its worker.
    """

    run_id: str
    run_execution: int
    execution: int
    step: str
    page: int
    first: int
    count: int
    positions: tuple[int, ...] = ()
    alone: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "positions": list(self.positions)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        names = ("execution", "page", "first", "count")
        execution, page, first, count = (int(data[name]) for name in names)
        positions = tuple(int(position) for position in data["positions"])
        step, run_execution = str(data["step"]), int(data["run_execution"])
        alone = bool(data["alone"])
        return cls(str(data["run_id"]), run_execution, execution, step, page, first, count, positions, alone)

    def chosen(self) -> list[int]:
        """The positions."""
        return list(self.positions) or list(range(self.first, self.first + self.count))


class Then(StrEnum):
    """What is done after an activity has worked on chunks."""

    DONE = "done"
    """They have ended, or wait for longer than anybody should wait for them here."""
    AGAIN = "again"
    """Wait `wait_seconds`, then go on with those at `positions`."""
    ALONE = "alone"
    """One of them has killed its worker: go on with each by itself."""
    NESTED = "nested"
    """Run the run `child`, then go on."""
    STOPPED = "stopped"
    """The run or the dispatch is to stop: begin no more."""


@dataclass(frozen=True)
class ChunksOutcome:
    """What came of chunks."""

    then: Then
    positions: tuple[int, ...] = ()
    wait_seconds: float = 0.0
    child: str = ""
    child_execution: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "positions": list(self.positions)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        positions = tuple(int(position) for position in data["positions"])
        child = str(data["child"]), int(data["child_execution"])
        return cls(Then(data["then"]), positions, float(data["wait_seconds"]), *child)
