"""Steps of all kinds, and finding them in a workflow."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from docs import generate
from kernel.verbs import Verb
from workflows.model import STEP_KINDS, Child, Step, Workflow

CALL = {"connector": "c", "operation": "o"}
PARTS: dict[str, Any] = {
    "fetch": CALL,
    "lookup": CALL,
    "transform": {"sql": "SELECT 1 AS n"},
    "logic_gate": {"when": "true"},
    "govern": {"facts": "SELECT 1 AS n", "rules": [{"deny": "n > 1", "because": "No."}]},
    "push": {**CALL, "records": "a", "key": ["n"]},
    "dispatch": {"over": "a", "key": ["n"], "steps": [{"key": "b", "fetch": CALL}]},
    "run": {"workflow": "w"},
}
WRITING = {"push", "dispatch", "run"}


def step(kind: str) -> Step:
    return Step.model_validate({"key": "k", kind: PARTS[kind]})


@pytest.mark.parametrize("kind", PARTS)
def test_a_step_is_of_the_kind_of_its_one_part(kind: str) -> None:
    assert set(PARTS) == set(STEP_KINDS)
    assert (step(kind).kind, type(step(kind).kind)) == (kind, str)
    assert step(kind).writes == (kind in WRITING)


@pytest.mark.parametrize("kind", PARTS)
def test_only_atomic_steps_have_a_verb(kind: str) -> None:
    if kind in ("dispatch", "run"):
        with pytest.raises(ValueError, match=kind):
            _ = step(kind).verb
    else:
        assert step(kind).verb is Verb(kind)


def test_a_step_has_one_part() -> None:
    both = {"key": "k", "run": PARTS["run"], "push": PARTS["push"]}
    with pytest.raises(ValidationError, match=r"exactly one of .*, dispatch, run; this one has push and run"):
        Step.model_validate(both)


@pytest.mark.parametrize(
    ("body", "said"), [({}, "neither"), ({"workflow": "w", "steps": [{"key": "b", "fetch": CALL}]}, "both")]
)
def test_a_dispatch_has_either_steps_or_a_workflow(body: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=f"either `steps` or `workflow`; this one has {said}"):
        Step.model_validate({"key": "k", "dispatch": {"over": "a", "key": ["n"], **body}})


WORKFLOW = Workflow.model_validate(
    {
        "workflow": "w",
        "steps": [
            {"key": "a", "fetch": CALL},
            {
                "key": "each",
                "dispatch": {"over": "a", "key": ["n"], "steps": [{"key": "b", "push": PARTS["push"]}]},
            },
            {"key": "kid", "run": {"workflow": "other", "version": "latest"}},
            {
                "key": "kids",
                "dispatch": {"over": {"fetch": CALL}, "key": ["n"], "workflow": "another"},
            },
        ],
    }
)


def test_steps_are_found_at_the_top_and_in_dispatches() -> None:
    assert [found.key for found in WORKFLOW.all_steps()] == ["a", "each", "b", "kid", "kids"]
    assert [WORKFLOW.step(key).key for key in ("b", "kids")] == ["b", "kids"]
    with pytest.raises(KeyError, match="none"):
        WORKFLOW.step("none")


def test_every_reference_to_another_workflow_is_a_child() -> None:
    kid, kids = WORKFLOW.step("kid").run, WORKFLOW.step("kids").dispatch
    assert kid is not None
    assert kids is not None
    assert list(WORKFLOW.children()) == [
        Child("kid", kid, "other", "latest"),
        Child("kids", kids, "another", "pinned"),
    ]


def test_chunks_come_from_a_step_or_from_a_generator() -> None:
    each, kids = WORKFLOW.step("each").dispatch, WORKFLOW.step("kids").dispatch
    assert each is not None
    assert kids is not None
    assert (each.source, each.generator) == ("a", None)
    assert (kids.source, kids.generator and kids.generator.operation) == (None, "o")


@pytest.mark.parametrize(("key", "rejecting"), [("each", "a"), ("kids", "kids"), ("b", "a"), ("a", "a")])
def test_whose_records_a_step_rejects(key: str, rejecting: str) -> None:
    assert WORKFLOW.step(key).rejecting == rejecting


def test_the_schema_for_editors_knows_steps_inside_dispatches() -> None:
    parts = json.loads(generate.schema())["$defs"]
    assert parts["Dispatch"]["properties"]["steps"]["items"] == {"$ref": "#/$defs/Step"}
    assert [one.get("$ref") for one in parts["Dispatch"]["properties"]["over"]["oneOf"]] == [
        None,
        "#/$defs/Generator",
    ]
