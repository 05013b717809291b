"""Steps into segments: what one activity runs in one go, with the context in memory.

A segment ends after a write step; a dispatch or a nested run is one by itself. What later segments need, and
only that, crosses the boundary.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workflows.guards import guards_of
from workflows.model import Step, Workflow
from workflows.references import record_references
from workflows.sql import SqlEngine

type SegmentKind = Literal["atomic", "dispatch", "run"]


@dataclass(frozen=True)
class Segment:
    """Consecutive atomic steps, or one dispatch or run step. `carries` are the earlier and own steps whose
    records later segments need; `holds` are, for each step that may wait for people, the steps before it
    whose records it and all after it need."""

    steps: tuple[str, ...]
    carries: tuple[str, ...] = ()
    kind: SegmentKind = "atomic"
    holds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; what is usual is left out."""
        kind = {} if self.kind == "atomic" else {"kind": self.kind}
        holds = {"holds": {key: list(live) for key, live in self.holds.items()}} if self.holds else {}
        return {"steps": list(self.steps), "carries": list(self.carries), **kind, **holds}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Segment":
        """The inverse of `to_dict`."""
        holds = {key: tuple(live) for key, live in data.get("holds", {}).items()}
        return cls(tuple(data["steps"]), tuple(data["carries"]), data.get("kind", "atomic"), holds)


@dataclass(frozen=True)
class Plan:
    """The segments of a version, in order. Stored with the version, never computed again.

    `pinned` has the version numbers of the workflows that its steps are pinned to, by step key.
    """

    segments: tuple[Segment, ...]
    pinned: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        pinned = {"pinned": dict(self.pinned)} if self.pinned else {}
        return {"segments": [segment.to_dict() for segment in self.segments], **pinned}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Plan":
        """The inverse of `to_dict`."""
        return cls(tuple(map(Segment.from_dict, data["segments"])), dict(data.get("pinned", {})))

    def segment_of(self, step: str) -> int:
        """The index of the segment that holds a step."""
        return next(index for index, segment in enumerate(self.segments) if step in segment.steps)


def make_plan(workflow: Workflow, engine: SqlEngine) -> Plan:
    """Cut a valid workflow into segments and find what each boundary must carry. Nothing is pinned yet."""
    return Plan(_segments(workflow.steps, engine))


def _segments(steps: Sequence[Step], engine: SqlEngine) -> tuple[Segment, ...]:
    groups = _groups(steps)
    needs = {step.key: record_references(step, engine) for step in steps}
    segments = []
    for index, group in enumerate(groups):
        before = {step.key for earlier in groups[: index + 1] for step in earlier}
        later = [step.key for following in groups[index + 1 :] for step in following]
        live = {need for key in later for need in needs[key]} & before
        keys = tuple(step.key for step in group)
        holds = {step.key: _live_at(steps, step.key, needs) for step in group if _may_wait(steps, step)}
        segments.append(Segment(keys, tuple(sorted(live)), _kind(group), holds))
    return tuple(segments)


def _may_wait(steps: Sequence[Step], step: Step) -> bool:
    """Whether people may be asked there: by the step itself, or because it would write something else than
    they have approved."""
    return bool((step.govern and step.govern.asks) or (step.writes and guards_of(steps, step.key)))


def _live_at(steps: Sequence[Step], key: str, needs: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    keys = [step.key for step in steps]
    at = keys.index(key)
    live = frozenset[str]().union(*(needs[later] for later in keys[at:]))
    return tuple(sorted(live.intersection(keys[:at])))


def _groups(steps: Iterable[Step]) -> list[list[Step]]:
    groups: list[list[Step]] = [[]]
    for step in steps:
        if step.dispatch or step.run:
            groups.append([])
        groups[-1].append(step)
        if step.writes:
            groups.append([])
    return [group for group in groups if group]


def _kind(group: Sequence[Step]) -> SegmentKind:
    if group[0].dispatch:
        return "dispatch"
    return "run" if group[0].run else "atomic"
