"""Validation finds every fault at once, in its place, with a remedy, and nothing where nothing is wrong."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import workflows
from kernel.errors import Fault, InvalidDefinition
from tests.unit.workflows.catalogue import DATA, EXAMPLE, checked
from tests.unit.workflows.definitions import (
    LINES,
    LOG,
    POST,
    PUBLISHED,
    STEPS,
    TEXTS,
    definition,
    fault_cases,
    line_of,
)

TEN_FAULTS = (DATA / "ten_faults.yaml").read_text()


def places(text: str) -> list[tuple[str, str]]:
    return [(fault.code, fault.path) for fault in checked(text).faults]


def test_the_example_has_no_faults() -> None:
    found = checked(EXAMPLE)
    assert found.faults == ()
    workflow, plan = found.require()
    assert [step.key for step in workflow.steps] == [key for part in plan.segments for key in part.steps]


def test_the_parts_of_the_tests_below_have_no_faults() -> None:
    assert checked(definition(LOG, LINES, POST)).faults == ()


def test_ten_different_faults_are_reported_at_once() -> None:
    found = checked(TEN_FAULTS)
    expected = [
        (number, line.rpartition(" # ")[2])
        for number, line in enumerate(TEN_FAULTS.splitlines(), 1)
        if re.search(r" # [a-z_]+$", line)
    ]
    assert [(fault.line, fault.code) for fault in found.faults] == expected
    assert len({code for _, code in expected}) == 10
    assert all(fault.path and fault.hint and fault.message for fault in found.faults)
    assert found.plan is None
    with pytest.raises(InvalidDefinition, match="11 faults") as caught:
        found.require()
    assert caught.value.faults == found.faults


def test_faults_are_found_around_others() -> None:
    """The missing push key leaves its step unread; the misspelt key in front of it is still looked at."""
    codes = {fault.code: fault for fault in checked(TEN_FAULTS).faults}
    assert codes["unknown_key"].hint == "Did you mean 'description'?"
    assert codes["missing_key"].path == "steps[9].push.key"
    assert "posted twice" in codes["missing_key"].hint
    assert codes["secret_literal"].path == "steps[0].fetch.with.path"


@pytest.mark.parametrize(("code", "text", "path"), list(fault_cases()), ids=[*TEXTS, *STEPS])
def test_each_fault_stands_alone_in_its_place(code: str, text: str, path: str) -> None:
    faults = checked(text, PUBLISHED).faults
    found = [fault for fault in faults if code != "duplicate_step" or fault.path == path]
    assert [(fault.code, fault.path) for fault in found] == [(code, path)]
    assert found[0].hint
    assert found[0].message.endswith(".") or code == "sql_binding", "a sentence"
    if "# here" in text:
        assert found[0].line == line_of(text)


def called_name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def codes_in(tree: ast.AST) -> Iterator[str]:
    """Codes that are given to `Fault(code, ...)` and `fault(path, code, ...)`, or assigned to `code`."""
    for node in ast.walk(tree):
        given: list[ast.expr] = []
        if isinstance(node, ast.Call):
            place = {"Fault": 0, "fault": 1}.get(called_name(node))
            given = [] if place is None else node.args[place : place + 1]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code":
            given = [node.value]
        for expression in given:
            for part in ast.walk(expression):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def test_every_code_that_validation_gives_is_tested_above() -> None:
    folder = Path(workflows.__file__).parent
    elsewhere = {"inputs.py", "objects.py"}  # what runs and records meet, not definitions
    trees = [ast.parse(path.read_text()) for path in folder.glob("*.py") if path.name not in elsewhere]
    only_when_run = {"sql_value", "sql_memory", "sql_time"}
    assert {code for tree in trees for code in codes_in(tree)} - only_when_run == {*TEXTS, *STEPS}


@pytest.mark.parametrize(
    "program", ['Fault("new", "m")', 'document.fault(path, "new", "m")', 'code = "new" if x else "old"']
)
def test_a_new_code_would_be_noticed(program: str) -> None:
    assert "new" in set(codes_in(ast.parse(program)))


# What is no fault ---------------------------------------------------------------------------------

SOUND: dict[str, tuple[str, ...]] = {
    "a lookup with a parameter": (
        "  - {key: r, lookup: {connector: erp, operation: labour_rate, with: {activity: x}}}",
    ),
    "columns that are not known before the call": (
        "  - {key: l, fetch: {connector: worklog, operation: records, with: {path: p}}, sensitive: [x],"
        " measures: {n: count(y)}}",
        "  - {key: t, transform: {sql: SELECT anything FROM l}, emits: cost_line}",
    ),
    "a jump to a later step that reads nothing skipped": (
        LOG,
        "  - {key: g, logic_gate: {when: log.records > 0, otherwise: last}}",
        "  - {key: a, transform: {sql: SELECT worker FROM log ORDER BY 1}}",
        "  - {key: last, transform: {sql: SELECT day FROM log ORDER BY 1}}",
    ),
    "an expression that some sample values would not survive": (
        LOG,
        "  - {key: g, logic_gate: {when: 100 / (log.records - 1) > 3 && int(run.id) > 2}}",
    ),
    "a WITH clause of the name of a step": (
        LOG,
        "  - {key: a, transform: {sql: WITH log AS (SELECT worker FROM log) SELECT worker FROM LOG}}",
    ),
    "a statement that would run for ever": (
        "  - key: a\n    transform:\n      sql: WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1"
        " FROM r) SELECT n FROM r",
        "  - {key: b, transform: {sql: SELECT count(*) AS n FROM range(1000000000000)}}",
    ),
}


@pytest.mark.parametrize("steps", SOUND.values(), ids=list(SOUND))
def test_what_is_no_fault(steps: tuple[str, ...]) -> None:
    assert checked(definition(*steps)).faults == ()


# One mistake, one fault ---------------------------------------------------------------------------

UNREAD = "  - {key: lines, transfrom: {sql: SELECT 1}} # here"
FOLLOWING = {
    "table": "  - {key: a, transform: {sql: SELECT x FROM lines}}",
    "push": POST,
    "expression": "  - {key: g, logic_gate: {when: lines.records > 0}}",
    "steps": "  - {key: g, logic_gate: {when: steps.lines.records > 0}}",
    "reconcile": "  - {key: a, transform: {sql: SELECT 1 AS n}, reconcile: {records: lines.records}}",
}


@pytest.mark.parametrize("step", FOLLOWING.values(), ids=list(FOLLOWING))
def test_what_uses_a_step_that_could_not_be_read_is_no_second_fault(step: str) -> None:
    text = definition(UNREAD, step)
    assert [(fault.code, fault.line) for fault in checked(text).faults] == [("unknown_key", line_of(text))]


def test_a_gate_may_name_a_step_that_could_not_be_read() -> None:
    text = definition("  - {key: g, logic_gate: {when: 'true', otherwise: lines}}", UNREAD)
    assert [fault.code for fault in checked(text).faults] == ["unknown_key"]


def test_what_uses_an_input_that_could_not_be_read_is_no_second_fault() -> None:
    text = definition("  - {key: g, logic_gate: {when: inputs.n > 0}}", inputs="n: {type: money}")
    assert places(text) == [("invalid_value", "inputs.n.type")]


def test_steps_are_judged_although_the_top_of_the_definition_is_wrong() -> None:
    text = definition(LOG, "  - {key: g, logic_gate: {when: log.records}}").replace("workflow: w", "name: w")
    assert places(text) == [
        ("missing_key", "workflow"),
        ("not_a_condition", "steps[1].logic_gate.when"),
    ]


def test_a_single_step_that_is_wrong_is_one_fault() -> None:
    assert [fault.code for fault in checked(definition(UNREAD)).faults] == ["unknown_key"]


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ("  - {key: a}", "steps[0]"),
        ("  - {key: a, lookup: {connector: c, operation: o}, transform: {sql: SELECT 1}}", "steps[0]"),
        ("  - {key: Not a key, transform: {sql: SELECT 1}}", "steps[0].key"),
        ("  - just text", "steps[0]"),
        ("  - {key: a, transform: {sql: SELECT 1}, retry: {attempts: 0}}", "steps[0].retry.attempts"),
        ("  - {key: a, transform: {sql: SELECT 1}, retry: {first: soon}}", "steps[0].retry.first"),
        ("  - {key: a, transform: {sql: SELECT 1}, retry: {factor: nan}}", "steps[0].retry.factor"),
        ("  - {key: a, transform: {sql: SELECT 1}, measures: {Big: count(*)}}", "steps[0].measures.Big"),
        ("  - {key: a, transform: {sql: 5}}", "steps[0].transform.sql"),
    ],
)
def test_values_that_do_not_fit_are_named(step: str, path: str) -> None:
    assert [(fault.code, fault.path) for fault in checked(definition(step)).faults] == [
        ("invalid_value", path)
    ]


@pytest.mark.parametrize("default", ["[1, 2]", "{a: 1}"])
def test_a_value_of_no_alternative_is_one_fault_at_its_own_path(default: str) -> None:
    text = definition(LOG, inputs=f"n: {{type: text, default: {default}}}")
    assert places(text) == [("invalid_value", "inputs.n.default")]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (definition(LOG, inputs="n: {type: text, requird: true}"), "Did you mean 'required'?"),
        (definition(LOG).replace("measures", "measure"), "Did you mean 'measures'?"),
        (definition(LOG).replace("operation", "operations"), "Did you mean 'operation'?"),
        (definition(LOG) + "stps: []", "Did you mean 'steps'?"),
    ],
)
def test_a_misspelt_key_is_set_right_wherever_it_stands(text: str, hint: str) -> None:
    assert hint in [fault.hint for fault in checked(text).faults if fault.code == "unknown_key"]


@pytest.mark.parametrize("text", ["null", "~", "---", "# nothing", "  \n"])
def test_nothing_is_an_empty_definition(text: str) -> None:
    found = checked(text)
    assert [fault.code for fault in found.faults] == ["empty"]
    with pytest.raises(InvalidDefinition, match="1 fault"):
        found.require()


def test_a_warning_does_not_forbid_publishing() -> None:
    steps, _ = STEPS["write_before_govern"]
    found = checked(definition(*steps))
    assert [fault.severity for fault in found.faults] == ["warning"]
    assert found.errors == ()
    assert len(found.require()[1].segments) == 2


def test_faults_come_in_the_order_of_the_text() -> None:
    lines = [fault.line or 0 for fault in checked(TEN_FAULTS).faults]
    assert lines == sorted(lines)


def test_facts_and_reasons_of_a_policy_are_looked_at() -> None:
    text = definition(
        LOG,
        """
  - key: g
    govern:
      facts: SELECT sum(hours) AS total FROM log
      rules:
        - {deny: total > 5, because: "${{ totl }} is too much."}
        - {deny: total, because: "Always."}
        - {deny: hours > 1, because: "Unclosed ${{ total }."}
""",
    )
    assert places(text) == [
        ("unknown_name", "steps[1].govern.rules[0].because"),
        ("not_a_condition", "steps[1].govern.rules[1].deny"),
        ("expression_syntax", "steps[1].govern.rules[2].because"),
        ("unknown_name", "steps[1].govern.rules[2].deny"),
    ]


@pytest.mark.parametrize(
    "measure", ["hours", "(SELECT max(n) FROM (SELECT 1 AS n))  + hours", "sum(hours) OVER ()", "wroker"]
)
def test_a_measure_must_be_an_aggregate_of_the_step(measure: str) -> None:
    text = definition(LOG.replace("sum(hours)", measure))
    assert places(text) == [("sql_binding", "steps[0].measures.hours")]


def test_a_measure_reads_no_other_step() -> None:
    text = definition(LOG, LINES.replace("sum(amount)", "(SELECT sum(hours) FROM log)"))
    assert places(text) == [("sql_access", "steps[1].measures.amount")]


JUMP = "  - {key: g, logic_gate: {when: log.records > 0, otherwise: last}}"
SKIPPED = "  - {key: a, transform: {sql: SELECT day FROM log}}"


@pytest.mark.parametrize(
    ("last", "bypassed"),
    [
        ("transform: {sql: SELECT day FROM a}", True),
        ("govern: {facts: SELECT count(*) AS n FROM A, rules: [{deny: n > 1, because: No.}]}", True),
        ("transform: {sql: SELECT day FROM log}, reconcile: {records: a.records}", True),
        ("transform: {sql: SELECT day FROM log}, reconcile: {records: log.records}", False),
        ("logic_gate: {when: has(steps.a.records) && steps.a.records > 1}", False),
    ],
)
def test_what_a_gate_may_have_skipped_is_not_read_after_it(last: str, bypassed: bool) -> None:
    text = definition(LOG, JUMP, SKIPPED, f"  - {{key: last, {last}}}")
    assert places(text) == ([("bypassed_step", "steps[3]")] if bypassed else [])


def test_what_is_skipped_together_may_read_each_other() -> None:
    inner = "  - {key: b, transform: {sql: SELECT day FROM a}}"
    last = "  - {key: last, transform: {sql: SELECT day FROM log}}"
    assert places(definition(LOG, JUMP, SKIPPED, inner, last)) == []
    assert places(definition(LOG, JUMP.replace("last}", "end}"), SKIPPED, inner, last)) == []


@pytest.mark.parametrize("column", ["worker", "amount"])
def test_a_sensitive_column_must_be_there(column: str) -> None:
    text = definition(LOG, LINES + "    sensitive: [workr]")
    found: tuple[Fault, ...] = checked(text.replace("workr", column)).faults
    assert found == ()
    assert [fault.code for fault in checked(text).faults] == ["unknown_column"]
