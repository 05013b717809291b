"""Steps into segments: cut after writes and around dispatches and runs, carrying what is read later,
the same every time."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflows.catalogue import ENGINE, EXAMPLE, checked
from workflows.model import Workflow
from workflows.planning import Plan, Segment, make_plan
from workflows.sql import SqlEngine

ANOTHER_ENGINE = SqlEngine()


@dataclass
class Drawn:
    """A step by the part of it that planning knows: what it writes, yields and reads. `kind` is that of its
    segment."""

    key: str
    body: dict[str, Any]
    reads: set[str] = field(default_factory=set)
    writes: bool = False
    kind: str = "atomic"


def select(keys: list[str], how: int) -> str:
    """A SELECT that reads these steps, in one of several ways."""
    if not keys:
        return "SELECT 1 AS n"
    ways = [
        f"SELECT count(*) AS n FROM {', '.join(keys)}",
        f"SELECT (SELECT count(*) FROM {keys[0]}) AS n FROM {' NATURAL JOIN '.join(keys)}",
        f"WITH {keys[0]} AS (SELECT * FROM {keys[0]}) SELECT 1 AS n FROM {' CROSS JOIN '.join(keys)}",
        " UNION ALL ".join(f"SELECT 1 AS n FROM {key.upper()}" for key in keys),
    ]
    return ways[how % len(ways)]


CALL = {"connector": "c", "operation": "o"}
KINDS = ("fetch", "transform", "govern", "logic_gate", "push", "push", "dispatch", "run")
INNER = [{"key": "in", "push": {**CALL, "records": "chunk", "key": ["n"]}}]


def dispatch(reads: list[str], nested: bool) -> dict[str, Any]:
    """Over the first of these steps, or over a generator; with steps, or with a workflow."""
    over = reads[0] if reads else {"fetch": CALL}
    body = {"workflow": "other"} if nested else {"steps": INNER}
    return {"dispatch": {"over": over, "key": ["n"], **body}}


@st.composite
def linear_workflows(draw: st.DrawFn) -> list[Drawn]:
    """Random steps of all kinds; each reads any of the steps before it that yield."""
    steps: list[Drawn] = []
    tables: list[str] = []
    for number in range(draw(st.integers(1, 9))):
        key = f"s{number}"
        kind = draw(st.sampled_from(KINDS))
        reads = draw(st.lists(st.sampled_from(tables), max_size=3, unique=True)) if tables else []
        sql = select(reads, draw(st.integers(0, 3)))
        if kind == "dispatch":
            body = dispatch(reads, draw(st.booleans()))
            steps.append(Drawn(key, body, set(reads[:1]), writes=True, kind="dispatch"))
        elif kind == "run":
            steps.append(Drawn(key, {"run": {"workflow": "other"}}, writes=True, kind="run"))
        elif kind == "fetch" or (kind == "push" and not reads):
            steps.append(Drawn(key, {"fetch": CALL}))
            tables.append(key)
        elif kind == "push":
            push = {**CALL, "records": reads[0], "key": ["n"]}
            steps.append(Drawn(key, {"push": push}, {reads[0]}, writes=True))
        elif kind == "transform":
            steps.append(Drawn(key, {"transform": {"sql": sql}}, set(reads)))
            tables.append(key)
        elif kind == "govern":
            govern = {"facts": sql, "rules": [{"deny": "n > 1", "because": "No."}]}
            steps.append(Drawn(key, {"govern": govern}, set(reads)))
        else:
            steps.append(Drawn(key, {"logic_gate": {"when": "steps.s0.records > 0"}}))
    return steps


def workflow_of(steps: list[Drawn]) -> Workflow:
    return Workflow.model_validate({"workflow": "w", "steps": [{"key": s.key, **s.body} for s in steps]})


def naive_plan(steps: list[Drawn]) -> list[tuple[list[str], set[str]]]:
    """Segments and what they carry, from the definition of both and nothing else."""
    segments: list[tuple[list[str], set[str]]] = []
    start = 0
    for index, step in enumerate(steps):
        if step.writes or index == len(steps) - 1 or steps[index + 1].kind != "atomic":
            before = {earlier.key for earlier in steps[: index + 1]}
            needed = {key for later in steps[index + 1 :] for key in later.reads}
            segments.append(([part.key for part in steps[start : index + 1]], before & needed))
            start = index + 1
    return segments


@settings(max_examples=80, deadline=None)
@given(linear_workflows())
def test_plans_are_those_of_the_naive_model(steps: list[Drawn]) -> None:
    plan = make_plan(workflow_of(steps), ENGINE)
    assert [(list(part.steps), set(part.carries)) for part in plan.segments] == naive_plan(steps)
    assert plan.pinned == {}


@settings(max_examples=40, deadline=None)
@given(linear_workflows())
def test_a_run_by_segments_never_lacks_records(steps: list[Drawn]) -> None:
    """Walk the plan with only what each boundary carries: every step finds what it reads."""
    by_key = {step.key: step for step in steps}
    kept: set[str] = set()
    for part in make_plan(workflow_of(steps), ENGINE).segments:
        here = set(kept)
        for key in part.steps:
            assert by_key[key].reads <= here
            here.add(key)
        kept = here & set(part.carries)
        assert kept == set(part.carries)
    assert kept == set()


@settings(max_examples=40, deadline=None)
@given(linear_workflows())
def test_a_plan_is_the_same_every_time_and_survives_storage(steps: list[Drawn]) -> None:
    workflow = workflow_of(steps)
    plan = make_plan(workflow, ENGINE)
    assert make_plan(workflow, ANOTHER_ENGINE) == plan
    stored = json.loads(json.dumps(plan.to_dict()))
    assert Plan.from_dict(stored) == plan
    assert Plan.from_dict(stored).to_dict() == plan.to_dict()


@settings(max_examples=40, deadline=None)
@given(linear_workflows())
def test_every_step_is_in_one_segment_and_a_write_ends_it(steps: list[Drawn]) -> None:
    workflow = workflow_of(steps)
    plan = make_plan(workflow, ENGINE)
    assert [key for part in plan.segments for key in part.steps] == [step.key for step in steps]
    for index, part in enumerate(plan.segments):
        assert {plan.segment_of(key) for key in part.steps} == {index}
        writes = [workflow.step(key).writes for key in part.steps]
        assert not any(writes[:-1])
        following = plan.segments[index + 1 :]
        assert writes[-1] or not following or following[0].kind != "atomic"


@settings(max_examples=40, deadline=None)
@given(linear_workflows())
def test_a_dispatch_and_a_nested_run_are_alone_in_their_segments(steps: list[Drawn]) -> None:
    kinds = {step.key: step.kind for step in steps}
    for part in make_plan(workflow_of(steps), ENGINE).segments:
        assert {kinds[key] for key in part.steps} == {part.kind}
        assert part.kind == "atomic" or len(part.steps) == 1


def test_the_example_is_one_segment() -> None:
    plan = checked(EXAMPLE).require()[1]
    assert [part.carries for part in plan.segments] == [()]
    assert len(plan.segments[0].steps) == 7


def test_records_cross_several_boundaries_as_long_as_they_are_needed() -> None:
    steps = [
        Drawn("a", {"fetch": {"connector": "c", "operation": "o"}}),
        *(
            Drawn(f"p{n}", {"push": {"connector": "c", "operation": "o", "records": "a", "key": ["n"]}})
            for n in range(3)
        ),
        Drawn("t", {"transform": {"sql": "SELECT 1 AS n"}}),
    ]
    assert make_plan(workflow_of(steps), ENGINE).segments == (
        Segment(("a", "p0"), ("a",)),
        Segment(("p1",), ("a",)),
        Segment(("p2",)),
        Segment(("t",)),
    )


def test_plans_of_definitions_without_dispatches_are_stored_as_before() -> None:
    stored = {"segments": [{"steps": ["a", "p"], "carries": ["a"]}, {"steps": ["t"], "carries": []}]}
    plan = Plan.from_dict(stored)
    assert plan == Plan((Segment(("a", "p"), ("a",)), Segment(("t",))))
    assert plan.to_dict() == stored


def test_kinds_and_pins_are_stored() -> None:
    plan = Plan(
        (Segment(("a",), ("a",)), Segment(("d",), (), "dispatch"), Segment(("r",), (), "run")), {"r": 7}
    )
    stored = {
        "segments": [
            {"steps": ["a"], "carries": ["a"]},
            {"steps": ["d"], "carries": [], "kind": "dispatch"},
            {"steps": ["r"], "carries": [], "kind": "run"},
        ],
        "pinned": {"r": 7},
    }
    assert plan.to_dict() == stored
    assert Plan.from_dict(stored) == plan


def test_a_step_that_is_not_there_has_no_segment() -> None:
    with pytest.raises(StopIteration):
        Plan((Segment(("a",)),)).segment_of("b")
