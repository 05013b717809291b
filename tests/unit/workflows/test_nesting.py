"""Workflows that run others: references, inputs, chains, and the versions that a plan is pinned to."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.errors import InvalidData, InvalidRequest
from tests.unit.workflows.catalogue import ENGINE, Systems, checked, version
from tests.unit.workflows.definitions import CHILD, LOG, PUBLISHED, definition, each, runs
from workflows.catalogue import VersionInfo
from workflows.inputs import child_inputs
from workflows.model import Workflow
from workflows.nesting import MAX_LEVELS
from workflows.planning import Plan
from workflows.validation import validate
from workflows.version import version_hash

KID = "  - {key: kid, run: {workflow: child, inputs: {%s}}}"


def places(*steps: str, inputs: str = "") -> list[tuple[str, str]]:
    found = checked(definition(*steps, inputs=inputs), PUBLISHED).faults
    assert all(fault.hint and fault.line for fault in found)
    return [(fault.code, fault.path) for fault in found]


# Inputs ---------------------------------------------------------------------------------------------

INPUTS = "t: {type: text}, n: {type: integer}, m: {type: decimal}, b: {type: boolean}, d: {type: date}"


@pytest.mark.parametrize(
    "given",
    [
        "project: p",
        "project: ''",
        "project: p, limit: '7.50', rows: 12",
        "project: p, limit: 7",
        "project: p, rows: null",
        "project: '${{ inputs.t }}', limit: '${{ inputs.m }}', rows: '${{ inputs.n }}'",
        "project: '${{ inputs.d }}', limit: '${{ inputs.n }}', rows: '${{ size(inputs.t) }}'",
        "project: 'no. ${{ inputs.n }} of ${{ inputs.m }}', limit: '${{ inputs.t }}'",
        "project: '${{ run.id }}', limit: '${{ log.hours }}', rows: '${{ steps.log.records }}'",
        "project: p, limit: '${{ before.rates.dearest }}', rows: '${{ before.rates.dearest }}'",
    ],
)
def test_inputs_that_fit(given: str) -> None:
    before = (KID % "project: p").replace("kid", "before")
    assert places(LOG, before, KID % given, inputs=INPUTS) == []


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ("", [("missing_input", "")]),
        ("project: null", [("missing_input", "")]),
        ("project: 5", [("invalid_input", ".project")]),
        ("project: [p]", [("invalid_input", ".project")]),
        ("project: p, limit: many", [("invalid_input", ".limit")]),
        ("project: p, limit: '1e3'", [("invalid_input", ".limit")]),
        ("project: p, rows: '12'", [("invalid_input", ".rows")]),
        ("project: p, row: 12", [("unknown_input", ".row")]),
        ("projects: p", [("missing_input", ""), ("unknown_input", ".projects")]),
        ("project: '${{ inputs.n }}'", [("invalid_input", ".project")]),
        ("project: '${{ inputs.b }}'", [("invalid_input", ".project")]),
        ("project: p, limit: '${{ 2.0 * 3.0 }}'", [("invalid_input", ".limit")]),
        ("project: p, limit: '${{ inputs.b }}'", [("invalid_input", ".limit")]),
        ("project: p, rows: '${{ inputs.t }}'", [("invalid_input", ".rows")]),
        ("project: p, rows: '${{ inputs.m }}'", [("invalid_input", ".rows")]),
        ("project: p, rows: 'no. ${{ inputs.n }}'", [("invalid_input", ".rows")]),
        ("project: '${{ input.t }}'", [("unknown_name", ".project")]),
        ("project: '${{ inputs.x }}'", [("expression_type", ".project")]),
        ("project: '${{ inputs. }}'", [("expression_syntax", ".project")]),
        ("project: '${{ chunk.worker }}'", [("unknown_name", ".project")]),
        ("Project: p", [("invalid_value", ".Project")]),
    ],
)
def test_inputs_that_do_not_fit(given: str, faults: list[tuple[str, str]]) -> None:
    found = places(LOG, KID % given, inputs=INPUTS)
    assert found == [(code, f"steps[1].run.inputs{path}") for code, path in faults]


WANTED = Workflow.model_validate(CHILD)
RECORD = {"day": date(2026, 3, 31), "amount": Decimal("10.50")}


def test_what_was_found_to_fit_is_stored_as_inputs_are() -> None:
    chunk = {"project": "P-1", "hours": 7}
    given = {"project": "${{ chunk.project }}", "rows": "${{ chunk.hours + 1 }}"}
    assert child_inputs(WANTED, given, {"chunk": chunk}) == {"project": "P-1", "limit": "5.00", "rows": 8}


def test_decimals_and_dates_are_handed_on_as_text() -> None:
    given = {"project": "${{ chunk.day }}", "limit": "${{ chunk.amount }}"}
    assert child_inputs(WANTED, given, {"chunk": RECORD}) == {
        "project": "2026-03-31",
        "limit": "10.50",
        "rows": None,
    }


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"project": "${{ chunk.nothing }}"}, InvalidData),
        ({"project": None}, InvalidRequest),
        ({"project": "p", "limit": "${{ 1.5 * 2.0 }}"}, InvalidRequest),
    ],
)
def test_what_only_the_run_can_know_is_an_error_then(
    given: Mapping[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        child_inputs(WANTED, given, {"chunk": RECORD})


# What a parent reads of its child -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("kid.state == 'SUCCEEDED'", None),
        ("steps.kid.rates.records > 0 && kid.rates.dearest > 1.0 && kid.rates.dearest + 1 > 2", None),
        ("kid.state > 1", "expression_type"),
        ("kid.out.records > 0", "expression_type"),
        ("kid.ok.records > 0", "expression_type"),
        ("kid.rates.cheapest > 0", "expression_type"),
        ("kid.records > 0", "expression_type"),
        ("rates.records > 0", "unknown_name"),
    ],
)
def test_what_a_run_step_measures(condition: str, code: str | None) -> None:
    gate = f'  - {{key: g, logic_gate: {{when: "{condition}"}}}}'
    assert places(KID % "project: p", gate) == ([(code, "steps[1].logic_gate.when")] if code else [])


def test_nothing_is_said_of_what_an_unknown_workflow_measures() -> None:
    unknown = "  - {key: kid, run: {workflow: nobody}}"
    gate = "  - {key: g, logic_gate: {when: steps.kid.x.y > 0 && kid.state == 'FAILED'}}"
    assert places(unknown, gate) == [("unknown_workflow", "steps[0].run.workflow")]


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ("retry: {attempts: 2}", "not_here"),
        ("sensitive: [a]", "not_here"),
        ("measures: {n: count(*)}", "not_here"),
        ("emits: cost_line", "not_here"),
        ("reconcile: {records: log.records}", "not_here"),
        ("rejects: dead_letter", "not_here"),
        ("timeout: 1h, name: Child", None),
    ],
)
def test_what_is_declared_about_a_run(rest: str, code: str | None) -> None:
    step = f"  - {{key: kid, run: {{workflow: child, inputs: {{project: p}}}}, {rest}}}"
    where = f"steps[1].{rest.partition(':')[0]}"
    assert places(LOG, step) == ([(code, where)] if code else [])


@pytest.mark.parametrize(
    ("step", "path"),
    [
        ("transform: {sql: SELECT 1 AS n FROM kid}", "transform.sql"),
        ("dispatch: {over: kid, key: [n], workflow: level-9}", "dispatch.over"),
    ],
)
def test_a_run_has_no_records(step: str, path: str) -> None:
    assert places(KID % "project: p", f"  - {{key: a, {step}}}") == [("not_a_table", f"steps[1].{path}")]


@pytest.mark.parametrize("target", ["kid.state", "kid.rates", "kid.rates.records"])
def test_nothing_reconciles_with_a_run(target: str) -> None:
    step = f"  - {{key: a, transform: {{sql: SELECT 1 AS n}}, reconcile: {{records: {target}}}}}"
    assert places(KID % "project: p", step) == [("unknown_measure", "steps[1].reconcile.records")]


def test_a_policy_after_a_workflow_that_writes_is_warned_of() -> None:
    policy = "  - {key: g, govern: {facts: SELECT 1 AS n, rules: [{deny: n > 1, because: No.}]}}"
    assert places(KID % "project: p", policy) == [("write_before_govern", "steps[1]")]
    assert places("  - {key: kid, run: {workflow: level-9}}", policy) == []
    dispatch = "  - {key: each, dispatch: {over: log, key: [worker], workflow: child, inputs: {project: p}}}"
    assert places(LOG, dispatch, policy) == [("write_before_govern", "steps[2]")]


# Chains ---------------------------------------------------------------------------------------------


def test_a_workflow_that_runs_itself_is_found_before_it_is_published() -> None:
    (fault,) = checked(definition("  - {key: r, run: {workflow: w}}")).faults
    assert (fault.code, fault.message) == ("workflow_cycle", "'w' would run itself: w -> w.")


@pytest.mark.parametrize("mode", ["pinned", "latest"])
def test_a_detour_is_a_cycle_too(mode: str) -> None:
    source = {"over": {"fetch": {"connector": "c", "operation": "o"}}, "key": ["n"]}
    back = {"key": "r", "dispatch": {**source, "workflow": "w", "version": mode}}
    published = {
        "w": [version(runs("w"))],
        "b": [version(runs("b", "c"), r0=1)],
        "c": [version({"workflow": "c", "steps": [back]}, r=1)],
    }
    text = definition(f"  - {{key: r, run: {{workflow: b, version: {mode}}}}} # here")
    (fault,) = checked(text, published).faults
    assert (fault.code, fault.path, fault.line) == ("workflow_cycle", "steps[0].run.workflow", 4)
    assert fault.message == "'w' would run itself: w -> b -> c -> w."


def test_only_the_version_that_would_run_counts() -> None:
    """`b` is pinned to a version of `c` that does not run `w`; the active one does."""
    published = {
        "b": [version(runs("b", "c"), r0=1)],
        "c": [version(runs("c"), 1), version(runs("c", "w"), 2)],
    }
    text = definition("  - {key: r, run: {workflow: b}}")
    assert checked(text, published).faults == ()
    latest = {**published, "b": [version(latest_runs("b", "c"))]}
    assert [fault.code for fault in checked(text, latest).faults] == ["workflow_cycle"]


def latest_runs(key: str, *others: str) -> dict[str, Any]:
    steps = [
        {"key": f"r{n}", "run": {"workflow": other, "version": "latest"}} for n, other in enumerate(others)
    ]
    return {**runs(key), "steps": steps}


def test_eight_levels_are_enough() -> None:
    assert checked(definition("  - {key: r, run: {workflow: level-3}}"), PUBLISHED).faults == ()
    (fault,) = checked(definition("  - {key: r, run: {workflow: level-2}}"), PUBLISHED).faults
    chain = " -> ".join(["w", *(f"level-{n}" for n in range(2, 10))])
    assert fault.message == f"These are more than 8 levels of workflows: {chain}."


NAMES = ["w", *"abcdefghij"]
BACKWARD: list[list[str]] = [[name] for name in NAMES] + [[]] * 200


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[VersionInfo]]:
    """Versions as they are published one after the other, checked by nobody. References are pinned to the
    version of that moment, or to the latest, and few go back: chains get deep, and some are cycles."""
    found: dict[str, list[VersionInfo]] = {}
    for key in draw(st.lists(st.sampled_from(NAMES[1:]), max_size=12)) + NAMES[:0:-1]:
        next_ones = NAMES[NAMES.index(key) + 1 :][:2]
        names = draw(st.lists(st.sampled_from(next_ones), min_size=1, max_size=2)) if next_ones else []
        names += draw(st.sampled_from(BACKWARD))
        others = [(name, draw(st.booleans())) for name in names]
        steps = [
            {"key": f"r{n}", "run": {"workflow": other, "version": "latest" if latest else "pinned"}}
            for n, (other, latest) in enumerate(others)
        ]
        pinned = {
            f"r{n}": found[other][-1].number
            for n, (other, latest) in enumerate(others)
            if other in found and not latest
        }
        made = {**runs(key), "steps": steps or runs(key)["steps"]}
        found.setdefault(key, []).append(version(made, len(found.get(key, [])) + 1, **pinned))
    return found


def chains(
    published: Mapping[str, Sequence[VersionInfo]], key: str, number: int | None, above: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Every chain of workflows, as far as it is allowed and one further."""
    above = (*above, key)
    if len(set(above)) < len(above) or len(above) > MAX_LEVELS or key not in published:
        yield above
        return
    versions = published[key]
    chosen = versions[-1] if number is None else versions[number - 1]
    yield above
    for child in chosen.workflow.children():
        wanted = chosen.pinned.get(child.step) if child.version == "pinned" else None
        yield from chains(published, child.workflow, wanted, above)


@settings(max_examples=150, deadline=None)
@given(histories(), st.lists(st.sampled_from(NAMES[1:]), min_size=1, max_size=3, unique=True))
def test_chains_are_judged_as_if_each_were_followed(
    published: dict[str, list[VersionInfo]], others: list[str]
) -> None:
    steps = [f"  - {{key: r{n}, run: {{workflow: {other}}}}}" for n, other in enumerate(others)]
    found = checked(definition(*steps), published).faults
    codes = {fault.path: fault.code for fault in found if fault.code != "unknown_workflow"}
    for number, other in enumerate(others):
        code = codes.get(f"steps[{number}].run.workflow")
        every = list(chains(published, other, None, ("w",)))
        cyclic = any(len(set(chain)) < len(chain) for chain in every)
        deep = any(len(chain) > MAX_LEVELS for chain in every)
        assert (code is not None) == (cyclic or deep)
        assert cyclic or code != "workflow_cycle"
        assert deep or code != "too_many_levels"


def test_the_same_workflow_below_another_of_its_versions_is_a_cycle_too() -> None:
    """`c` alone is sound, and known to be, when it is met again below another version of `k`."""
    published = {
        "k": [version(runs("k"), 1), version(runs("k", "c"), 2, r0=1)],
        "c": [version(runs("c", "k"), r0=1)],
    }
    steps = [f"  - {{key: r{n}, run: {{workflow: {key}}}}}" for n, key in enumerate("ck")]
    (fault,) = checked(definition(*steps), published).faults
    assert (fault.path, fault.message) == ("steps[1].run.workflow", "'k' would run itself: w -> k -> c -> k.")


class Counting(Systems):
    """Counts how often a workflow is asked for."""

    asked = 0

    def workflow(self, key: str, number: int | None = None) -> VersionInfo | None:
        self.asked += 1
        return super().workflow(key, number)


def test_many_ways_to_the_same_workflows_are_not_followed_one_by_one() -> None:
    """Each of seven levels runs the next one five times: 15,625 chains."""
    published = {f"l{n}": [version(runs(f"l{n}", *[f"l{n + 1}"] * 5))] for n in range(1, 7)}
    systems = Counting({**published, "l7": [version(runs("l7"))]})
    found = validate(definition("  - {key: r, run: {workflow: l1}}"), systems, ENGINE)
    assert found.faults == ()
    assert systems.asked < 100


# Pins -----------------------------------------------------------------------------------------------

BOTH = definition(
    KID % "project: p",
    LOG,
    "  - {key: kids, dispatch: {over: log, key: [worker], workflow: child, inputs: {project: p}}}",
    "  - {key: last, run: {workflow: level-9, version: latest}}",
)


def test_a_plan_has_the_versions_that_were_active() -> None:
    plan = checked(BOTH, PUBLISHED).require()[1]
    assert plan.pinned == {"kid": 3, "kids": 3}
    assert Plan.from_dict(plan.to_dict()) == plan
    assert [(part.kind, part.steps) for part in plan.segments] == [
        ("run", ("kid",)),
        ("atomic", ("log",)),
        ("dispatch", ("kids",)),
        ("run", ("last",)),
    ]


def test_a_plan_without_pins_does_not_speak_of_them() -> None:
    text = definition(LOG, "  - {key: last, run: {workflow: level-9, version: latest}}")
    assert set(checked(text, PUBLISHED).require()[1].to_dict()) == {"segments"}


def test_another_version_of_a_pinned_workflow_is_another_version_of_this_one() -> None:
    before = checked(BOTH, PUBLISHED)
    changed = {**PUBLISHED, "child": [*PUBLISHED["child"], version({**CHILD, "name": "Changed"}, 4)]}
    after = checked(BOTH, changed)
    assert after.require()[1].pinned == {"kid": 4, "kids": 4}
    assert version_hash(after.require()[0], after.pinned) != version_hash(before.require()[0], before.pinned)


def test_another_version_of_a_workflow_that_is_not_pinned_changes_nothing() -> None:
    changed = {**PUBLISHED, "level-9": [version(runs("level-9", name="Changed"), 2)]}
    assert checked(BOTH, changed).pinned == checked(BOTH, PUBLISHED).pinned


def test_faulty_definitions_are_pinned_to_nothing() -> None:
    found = checked(BOTH + "name: 5\n", PUBLISHED)
    assert found.plan is None
    assert found.pinned == {}


def test_inside_a_dispatch_nothing_is_nested() -> None:
    inner = each("run: {workflow: nobody}")
    assert places(LOG, inner) == [("nested_dispatch", "steps[1].dispatch.steps[0].run")]
