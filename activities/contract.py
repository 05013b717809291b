"""Names, inputs and outputs of activities: all that orchestrators may know of them.

What crosses is ids, counts and enum values only; Durable history is readable in clear.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

RUN_SEGMENT = "run_segment"


class Next(StrEnum):
    """What the orchestrator does after a segment."""

    CONTINUE = "continue"
    """Run `segment` next (the same one again when it stopped to stay within its time)."""
    RETRY = "retry"
    """Wait `wait_seconds` or until woken, then run `segment` again."""
    SUSPENDED = "suspended"
    """Wait until woken, then run `segment` again."""
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
class Outcome:
    """What came of a segment. `state` is the run's state when it ended."""

    next: Next
    segment: int = 0
    wait_seconds: float = 0.0
    state: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(Next(data["next"]), int(data["segment"]), float(data["wait_seconds"]), str(data["state"]))
