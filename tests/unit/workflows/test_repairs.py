"""What a repair run leaves out of the steps before the one whose output it was given."""

from typing import Any

import pytest

from workflows.model import Workflow
from workflows.repairs import unneeded_steps
from workflows.sql import SqlEngine

ENGINE = SqlEngine()


def fetch(key: str, **parameters: Any) -> dict[str, Any]:
    return {"key": key, "fetch": {"connector": "c", "operation": "o", "with": parameters}}


def select(key: str, sql: str) -> dict[str, Any]:
    return {"key": key, "transform": {"sql": sql}}


def push(key: str, records: str) -> dict[str, Any]:
    return {"key": key, "push": {"connector": "c", "operation": "o", "records": records, "key": ["n"]}}


HOURS, RATES = fetch("hours"), fetch("rates")
COSTS = select("costs", "SELECT * FROM hours JOIN rates USING (n)")
POST = push("post", "costs")


def left_out(*steps: dict[str, Any], replaced: str = "costs") -> list[str]:
    return unneeded_steps(Workflow.model_validate({"workflow": "w", "steps": steps}), replaced, ENGINE)


def test_what_only_the_given_records_were_made_of_is_not_read_again() -> None:
    assert left_out(HOURS, RATES, COSTS, POST) == ["hours", "rates"]


def test_what_a_later_step_reads_is_read_again_with_all_before_it() -> None:
    names = select("names", "SELECT * FROM rates")
    report = select("report", "SELECT * FROM costs JOIN names USING (n)")
    assert left_out(HOURS, RATES, names, COSTS, POST, report) == ["hours"]


LATER = {
    "gate": {"key": "later", "logic_gate": {"when": "hours.records > 0"}},
    "gate over steps": {"key": "later", "logic_gate": {"when": "steps.hours.records > 0"}},
    "rule": {
        "key": "later",
        "govern": {
            "facts": "SELECT 1 AS n",
            "rules": [{"deny": "n > hours.records", "because": "No."}],
        },
    },
    "reason": {
        "key": "later",
        "govern": {
            "facts": "SELECT 1 AS n",
            "rules": [{"deny": "n > 1", "because": "Of ${{ hours.records }}."}],
        },
    },
    "facts": {
        "key": "later",
        "govern": {
            "facts": "SELECT count(*) AS n FROM hours",
            "rules": [{"deny": "n > 1", "because": "No."}],
        },
    },
    "parameter": fetch("later", rows="${{ hours.records }}"),
    "dispatch": {"key": "later", "dispatch": {"over": "hours", "key": ["n"], "workflow": "w"}},
    "generator": {
        "key": "later",
        "dispatch": {
            "over": {"fetch": fetch("x", rows="${{ hours.records }}")["fetch"]},
            "key": ["n"],
            "workflow": "w",
        },
    },
    "what a chunk gives to its run": {
        "key": "later",
        "dispatch": {
            "over": "costs",
            "key": ["n"],
            "workflow": "w",
            "inputs": {"n": "${{ hours.records }}"},
        },
    },
    "step of a chunk": {
        "key": "later",
        "dispatch": {
            "over": "costs",
            "key": ["n"],
            "steps": [{"key": "x", "logic_gate": {"when": "hours.records > chunk.n"}}],
        },
    },
    "inputs of a run": {"key": "later", "run": {"workflow": "w", "inputs": {"n": "${{ hours.records }}"}}},
}


@pytest.mark.parametrize("later", LATER.values(), ids=list(LATER))
def test_what_a_later_step_names_is_read_again(later: dict[str, Any]) -> None:
    assert left_out(HOURS, RATES, COSTS, later, POST) == ["rates"]


def test_earlier_writes_policies_and_gates_are_not_done_again() -> None:
    gate = {"key": "any", "logic_gate": {"when": "hours.records > 0", "otherwise": "end"}}
    policy = {
        "key": "policy",
        "govern": {"facts": "SELECT 1 AS n FROM hours", "rules": [{"deny": "n > 1", "because": "No."}]},
    }
    after = {"key": "after", "logic_gate": {"when": "steps.first.records >= 0 && hours.records > 0"}}
    steps = (HOURS, gate, policy, push("first", "hours"), RATES, COSTS, after, POST)
    assert left_out(*steps) == ["any", "policy", "first", "rates"]


def test_earlier_dispatches_and_runs_are_not_done_again() -> None:
    each = {"key": "each", "dispatch": {"over": "hours", "key": ["n"], "workflow": "w"}}
    kid = {"key": "kid", "run": {"workflow": "w"}}
    after = {"key": "after", "logic_gate": {"when": "each.failed == 0 && kid.state == 'SUCCEEDED'"}}
    assert left_out(HOURS, each, kid, RATES, COSTS, after, POST) == ["hours", "each", "kid", "rates"]


def test_the_records_of_a_dispatch_are_those_it_is_over() -> None:
    each = {"key": "each", "dispatch": {"over": "costs", "key": ["n"], "workflow": "w"}}
    assert left_out(HOURS, RATES, COSTS, each) == ["hours", "rates"]
    generated = {
        "key": "each",
        "dispatch": {"over": {"fetch": HOURS["fetch"]}, "key": ["n"], "workflow": "w"},
    }
    assert left_out(HOURS, generated, POST, replaced="each") == ["hours"]


def test_a_name_within_another_name_is_not_that_step() -> None:
    later = {"key": "later", "logic_gate": {"when": "costs.records > inputs.hours_limit"}}
    assert left_out(HOURS, RATES, COSTS, later, POST) == ["hours", "rates"]


def test_the_first_step_has_none_before_it() -> None:
    assert left_out(HOURS, push("post", "hours"), replaced="hours") == []
