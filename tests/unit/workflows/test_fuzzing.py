"""Whatever is sent: validation answers with faults, never with an exception."""

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflows.catalogue import EXAMPLE
from tests.unit.workflows.catalogue import checked as checked_with
from tests.unit.workflows.definitions import PUBLISHED
from tests.unit.workflows.test_document import places
from workflows.document import Pointer, at
from workflows.validation import Checked

WORDS = [
    *("workflow", "name", "inputs", "steps", "key", "fetch", "lookup", "transform", "logic_gate", "govern"),
    *(
        "push",
        "execute",
        "connector",
        "operation",
        "with",
        "records",
        "sql",
        "facts",
        "rules",
        "deny",
        "because",
    ),
    *(
        "because",
        "when",
        "otherwise",
        "retry",
        "attempts",
        "first",
        "factor",
        "max",
        "sensitive",
        "emits",
        "measures",
    ),
    *("reconcile", "rejects", "type", "required", "default", "text", "integer", "decimal", "date", "end"),
    *(
        "dispatch",
        "run",
        "over",
        "workflow",
        "version",
        "pinned",
        "latest",
        "tolerate",
        "5%",
        "child",
        "chunk",
    ),
    *("erp", "worklog", "labour_rates", "job_ledger", "cost_line", "path", "columns", "a", "b", "a.records"),
]
PIECES = [
    *("SELECT * FROM a", "SELECT 1 AS n; SELECT 2", "count(*)", "sum(n)", "SELECT now()", "${{ inputs.a }}"),
    *("${{", "a.records > 0", "1/0", "9223372036854775807 + 1", "(((", "\ud800", "\0", "", "'", '"', "-- "),
    *("WITH a AS (SELECT 1) SELECT * FROM a", 'SELECT a AS "b""c" FROM a', "[1][2] == 1", "has(a.b)", "/*"),
]
LEAVES = (
    st.sampled_from(WORDS + PIECES)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=20,
)
CALLS = st.fixed_dictionaries(
    {"connector": LEAVES, "operation": LEAVES}, optional={"with": VALUES, "records": LEAVES, "key": VALUES}
)
STEPS = st.fixed_dictionaries(
    {"key": LEAVES},
    optional={
        "fetch": CALLS,
        "push": CALLS,
        "transform": st.fixed_dictionaries({"sql": LEAVES}),
        "logic_gate": st.fixed_dictionaries({"when": LEAVES}, optional={"otherwise": LEAVES}),
        "measures": VALUES,
        "reconcile": VALUES,
        "emits": LEAVES,
    },
)
REFERENCES = {"workflow": LEAVES, "version": LEAVES, "inputs": VALUES, "on_failure": LEAVES}
DISPATCHES = st.fixed_dictionaries(
    {"over": LEAVES | st.fixed_dictionaries({"fetch": CALLS}), "key": VALUES},
    optional={
        "steps": st.lists(STEPS | VALUES, max_size=3),
        "tolerate": LEAVES,
        "batch": LEAVES,
        **REFERENCES,
    },
)
NESTED = st.fixed_dictionaries(
    {"key": LEAVES},
    optional={
        "dispatch": DISPATCHES,
        "run": st.fixed_dictionaries({}, optional=REFERENCES),
        "measures": VALUES,
        "rejects": LEAVES,
    },
)
DEFINITIONS = st.fixed_dictionaries(
    {"workflow": LEAVES, "steps": st.lists(STEPS | NESTED | VALUES, max_size=4)}, optional={"inputs": VALUES}
)


def checked(text: str) -> Checked:
    """With other workflows to refer to."""
    return checked_with(text, PUBLISHED)


def check_answer(found: Checked) -> None:
    """What holds for every answer."""
    assert (found.plan is None) == bool(found.errors)
    assert (found.workflow is None) <= bool(found.errors)
    for fault in found.faults:
        assert fault.code
        assert fault.message
        assert fault.hint, fault
        assert fault.line is None or fault.line >= 1
    assert len(set(found.faults)) == len(found.faults), "nothing is said twice"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300) | VALUES.map(lambda data: json.dumps(data)))
def test_any_text(text: str) -> None:
    check_answer(checked(text))


@settings(max_examples=60, deadline=None)
@given(DEFINITIONS, st.booleans())
def test_anything_in_the_shape_of_a_definition(data: Any, as_yaml: bool) -> None:
    check_answer(checked(yaml.safe_dump(data) if as_yaml else json.dumps(data)))


NESTING = """
  - key: each
    dispatch:
      over: rates
      key: [activity]
      concurrency: 5
      batch: 2
      tolerate: 5%
      on_failure: stop
      steps:
        - {key: one, transform: {sql: SELECT activity FROM chunk}, measures: {n: count(*)}}
        - {key: any, logic_gate: {when: chunk.hourly_rate > 1.0 && one.n > 0}}
    measures: {total: sum(hourly_rate)}
  - key: kids
    dispatch:
      over: {fetch: {connector: erp, operation: labour_rates}}
      key: [activity]
      workflow: child
      version: latest
      inputs: {project: "${{ chunk.activity }}"}
  - key: kid
    run: {workflow: child, inputs: {project: p, rows: 5}, on_failure: continue, when_cancelled: leave}
  - key: end_of_it
    logic_gate: {when: each.failed == 0 && each.one.n > 0 && kid.state == 'SUCCEEDED'}
"""


def nesting() -> Any:
    """The example, asking nobody, and what it may not do behind a question."""
    data = yaml.safe_load(EXAMPLE.rstrip() + NESTING)
    for step in data["steps"]:
        rules = step.get("govern", {}).get("rules", [])
        rules[:] = [rule for rule in rules if "deny" in rule]
    return data


DATA = {"asking": yaml.safe_load(EXAMPLE), "nesting": nesting()}
PATHS = {name: [path for path in places(data) if path] for name, data in DATA.items()}
PLACES = [(name, path) for name, paths in PATHS.items() for path in paths]
CHANGES = st.sampled_from(list(DATA)).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.lists(
            st.tuples(st.sampled_from(PATHS[name]), LEAVES | VALUES | st.just(...)), min_size=1, max_size=3
        ),
    )
)


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_the_example_that_is_changed_has_no_faults(data: Any) -> None:
    assert checked(json.dumps(data)).faults == ()


def changed(data: Any, path: Pointer, value: Any) -> Any:
    """A copy of `data` with another value at `path`; without it when the value is `...`."""
    made = copy.deepcopy(data)
    parent = at(made, path[:-1])
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return made


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_the_example_with_other_values(given_changes: tuple[str, list[tuple[Pointer, Any]]]) -> None:
    name, changes = given_changes
    data = DATA[name]
    for path, value in changes:
        if at(data, path) is not None:
            data = changed(data, path, value)
    check_answer(checked(json.dumps(data, default=str)))


@pytest.mark.parametrize(
    ("name", "path"), PLACES, ids=lambda part: part if isinstance(part, str) else ".".join(map(str, part))
)
def test_the_example_without_any_of_its_parts(name: str, path: Pointer) -> None:
    check_answer(checked(json.dumps(changed(DATA[name], path, ...), default=str)))
