"""Steps into segments: what one activity runs in one go, with the context in memory.

A segment ends after a write step. What later segments need, and only that, crosses the boundary.
"""

from dataclasses import dataclass
from typing import Any

from kernel.verbs import SideEffect
from workflows.model import Workflow
from workflows.references import record_references
from workflows.sql import SqlEngine


@dataclass(frozen=True)
class Segment:
    """Consecutive atomic steps. `carries` are the earlier and own steps whose records later segments need."""

    steps: tuple[str, ...]
    carries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The segments of a version, in order. Stored with the version, never computed again."""

    segments: tuple[Segment, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"segments": [{"steps": list(s.steps), "carries": list(s.carries)} for s in self.segments]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Plan":
        """The inverse of `to_dict`."""
        return cls(tuple(Segment(tuple(s["steps"]), tuple(s["carries"])) for s in data["segments"]))

    def segment_of(self, step: str) -> int:
        """The index of the segment that holds a step."""
        return next(index for index, segment in enumerate(self.segments) if step in segment.steps)


def make_plan(workflow: Workflow, engine: SqlEngine) -> Plan:
    """Cut a valid workflow into segments and find what each boundary must carry."""
    groups: list[list[str]] = [[]]
    for step in workflow.steps:
        groups[-1].append(step.key)
        if step.verb.side_effect is SideEffect.WRITE:
            groups.append([])
    groups = [group for group in groups if group]
    needs = {step.key: record_references(step, engine) for step in workflow.steps}
    segments = []
    for index, group in enumerate(groups):
        before = {key for earlier in groups[: index + 1] for key in earlier}
        later = [key for following in groups[index + 1 :] for key in following]
        live = {need for key in later for need in needs[key]} & before
        segments.append(Segment(tuple(group), tuple(sorted(live))))
    return Plan(tuple(segments))
