"""Dispatches: what their chunks see, what they measure, and every fault in its place."""

import pytest

from tests.unit.workflows.catalogue import checked
from tests.unit.workflows.definitions import LINES, LOG, PUBLISHED, definition, each, line_of

FIRST = "steps[1].dispatch.steps[0]"
MEASURES = "hours: sum(hours), n: count(*), top: max(hours)"
ROWS = f"transform: {{sql: 'SELECT worker, hours FROM chunk'}}, measures: {{{MEASURES}}}"


def places(*steps: str, inputs: str = "") -> list[tuple[str, str]]:
    found = checked(definition(*steps, inputs=inputs), PUBLISHED).faults
    assert all(fault.hint and fault.line for fault in found)
    return [(fault.code, fault.path) for fault in found]


def over(body: str, *before: str) -> list[tuple[str, str]]:
    """The faults of a dispatch with this body, after a step that yields the log."""
    return places(LOG, *before, f"  - key: each\n    dispatch: {{{body}}}\n")


# What is no fault -----------------------------------------------------------------------------------

GENERATED = (
    "over: {fetch: {connector: erp, operation: labour_rates}}, key: [activity], "
    "workflow: child, version: latest, inputs: {project: '${{ chunk.activity }}', limit: '${{ %s }}'}"
)
PUSH = "push: {connector: erp, operation: job_ledger, records: chunk, key: [worker, work_date]}"
SOUND = {
    "a chunk's record, its steps, inputs and the run": (
        LOG,
        each(
            "transform: {sql: 'SELECT worker, hours * 2 AS twice FROM chunk'}",
            "transform: {sql: SELECT twice FROM s0 JOIN Chunk USING (worker)}",
            "logic_gate: {when: chunk.hours > 1.0 && s0.records > 0 && log.hours > 1.0, otherwise: s4}",
            "fetch: {connector: worklog, operation: records, with: {path: '${{ chunk.worker + run.id }}'}}",
            "govern: {facts: SELECT hours FROM chunk, rules: [{deny: hours > chunk.hours, because: No.}]}",
        ),
    ),
    "the chunk's record is pushed as it is": (
        LOG,
        LINES,
        each(PUSH).replace("over: log", "over: lines").replace("[worker, day]", "[worker, work_date]"),
    ),
    "all that a dispatch can say": (
        LOG,
        each(
            "transform: {sql: SELECT worker FROM chunk}",
            rest="      concurrency: 1000\n      batch: 100\n      tolerate: 2.5%\n      on_failure: stop\n",
        )
        + "    name: Each\n    sensitive: [worker]\n    measures: {total: sum(hours)}\n"
        "    rejects: dead_letter\n    timeout: 1h\n",
    ),
    "columns that nobody knows before the run": (
        "  - {key: log, fetch: {connector: worklog, operation: records, with: {path: p}}}",
        each("transform: {sql: SELECT a FROM chunk}", "logic_gate: {when: chunk.b > 1 && log.records > 0}"),
    ),
    "another workflow for each record of a generator": (
        f"  - key: each\n    dispatch: {{{GENERATED % 'chunk.hourly_rate'}}}",
    ),
    "a generator whose parameters name inputs and measures": (
        LOG,
        "  - key: each\n    dispatch:\n      over: {fetch: {connector: worklog, operation: records, with: "
        "{path: '${{ inputs.p }}', limit: '${{ log.records }}', columns: {c: text}}}}\n"
        "      key: [c]\n      steps: [{key: s, transform: {sql: SELECT c FROM chunk}}]",
    ),
    "what comes after": (
        LOG,
        each(ROWS, "logic_gate: {when: s0.n > 0 && s0.top > 1.0}") + "    measures: {total: sum(hours)}\n",
        "  - key: g\n    logic_gate: {when: each.records == each.succeeded + each.failed + each.skipped && "
        "steps.each.s0.hours > 1.0 && each.s0.n + 1 > each.s0.records && each.total > 1.0}",
        "  - {key: t, transform: {sql: SELECT day FROM log}, reconcile: {records: each.records}}",
        "  - {key: u, transform: {sql: SELECT hours FROM log}, measures: {h: sum(hours)},"
        " reconcile: {h: each.total}}",
    ),
}


@pytest.mark.parametrize("steps", SOUND.values(), ids=list(SOUND))
def test_what_is_no_fault(steps: tuple[str, ...]) -> None:
    assert places(*steps, inputs="p: {type: text}") == []


# What a chunk sees ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inner", "fault"),
    [
        ("transform: {sql: SELECT worker FROM log}", ("outside_chunk", f"{FIRST}.transform.sql")),
        ("transform: {sql: SELECT worker FROM later}", ("outside_chunk", f"{FIRST}.transform.sql")),
        ("transform: {sql: SELECT worker FROM each}", ("outside_chunk", f"{FIRST}.transform.sql")),
        ("transform: {sql: SELECT worker FROM chunks}", ("unknown_step", f"{FIRST}.transform.sql")),
        ("transform: {sql: SELECT worker FROM s1}", ("forward_reference", f"{FIRST}.transform.sql")),
        ("transform: {sql: SELECT wroker FROM chunk}", ("sql_binding", f"{FIRST}.transform.sql")),
        ("transform: {sql: SELECT random() AS r FROM chunk}", ("sql_function", f"{FIRST}.transform.sql")),
        ("govern: {facts: SELECT hours FROM log, rules: [{deny: hours > 1, because: No.}]}",
         ("outside_chunk", f"{FIRST}.govern.facts")),
        ("push: {connector: erp, operation: job_ledger, records: log, key: [worker]}",
         ("outside_chunk", f"{FIRST}.push.records")),
        ("push: {connector: erp, operation: job_ledgers, records: chunk, key: [wroker]}",
         ("unknown_column", f"{FIRST}.push.key[0]")),
        ("logic_gate: {when: chunk.hours > 1 && chunk.site == 'a'}",
         ("expression_type", f"{FIRST}.logic_gate.when")),
        ("logic_gate: {when: chunk.worker}", ("not_a_condition", f"{FIRST}.logic_gate.when")),
        ("logic_gate: {when: lines.records > 0}", ("unknown_name", f"{FIRST}.logic_gate.when")),
        ("logic_gate: {when: 'true', otherwise: later}", ("unknown_step", f"{FIRST}.logic_gate.otherwise")),
        ("logic_gate: {when: 'true', otherwise: s0}",
         ("backward_reference", f"{FIRST}.logic_gate.otherwise")),
        ("fetch: {connector: worklog, operation: records, with: {path: '${{ chunk.site }}'}}",
         ("expression_type", f"{FIRST}.fetch.with")),
        ("transform: {sql: SELECT worker FROM chunk}, reconcile: {records: log.records}",
         ("unknown_measure", f"{FIRST}.reconcile.records")),
        ("transform: {sql: SELECT worker FROM chunk}, sensitive: [day]",
         ("unknown_column", f"{FIRST}.sensitive[0]")),
        ("transform: {sql: SELECT worker FROM chunk}, emits: cost_lines",
         ("unknown_object_type", f"{FIRST}.emits")),
        ("dispatch: {over: chunk, key: [worker], workflow: child}", ("nested_dispatch", f"{FIRST}.dispatch")),
        ("run: {workflow: child}", ("nested_dispatch", f"{FIRST}.run")),
    ],
)  # fmt: skip
def test_faults_inside_stand_in_their_place(inner: str, fault: tuple[str, str]) -> None:
    first, rest = each(inner, "transform: {sql: SELECT day FROM chunk}").split("\n        - {key: s1")
    dispatch = f"{first} # here\n        - {{key: s1{rest}"
    later = "  - {key: later, transform: {sql: SELECT day FROM log}}"
    text = definition(LOG, dispatch, later)
    found = checked(text).faults
    assert fault in [(one.code, one.path) for one in found]
    assert {one.line for one in found} == {line_of(text)}
    assert all(one.hint for one in found)


def test_naming_a_step_outside_says_how_its_values_come_in() -> None:
    (fault,) = checked(definition(LOG, each("transform: {sql: SELECT worker FROM log}"))).faults
    assert fault.message == "'log' lies outside: a chunk sees only its own record and the steps of its own."
    assert fault.hint == "Select what a chunk needs into the dispatched records: they are `chunk` here."


def test_there_is_no_chunk_outside_a_dispatch() -> None:
    (table,) = checked(definition(LOG, "  - {key: a, transform: {sql: SELECT day FROM chunk}}")).faults
    assert (table.code, table.hint) == ("unknown_step", "Only the steps of a dispatch have a chunk.")
    gate = "  - {key: g, logic_gate: {when: chunk.hours > 1}}"
    assert places(LOG, gate) == [("unknown_name", "steps[1].logic_gate.when")]


def test_what_a_gate_inside_may_have_skipped_is_not_read_after_it() -> None:
    dispatch = each(
        "logic_gate: {when: chunk.hours > 1.0, otherwise: s2}",
        "transform: {sql: SELECT day FROM chunk}",
        "transform: {sql: SELECT day FROM s1}",
    )
    assert places(LOG, dispatch) == [("bypassed_step", "steps[1].dispatch.steps[2]")]
    assert places(LOG, dispatch.replace("otherwise: s2", "otherwise: end")) == []


def test_a_dispatch_may_not_read_what_a_gate_may_have_skipped() -> None:
    gate = "  - {key: g, logic_gate: {when: 'true', otherwise: each}}"
    steps = (gate, LOG, each("transform: {sql: SELECT day FROM chunk}"))
    assert places(*steps) == [("bypassed_step", "steps[2]")]


# Keys -----------------------------------------------------------------------------------------------


def test_a_key_names_one_step_everywhere() -> None:
    again = each("transform: {sql: SELECT day FROM chunk}").replace("key: each", "key: again")
    text = definition(LOG, each("transform: {sql: SELECT day FROM chunk}").replace("s0", "log"), again)
    assert [(fault.code, fault.path) for fault in checked(text).faults] == [
        ("duplicate_step", "steps[0].key"),
        ("duplicate_step", "steps[1].dispatch.steps[0].key"),
    ]
    twice = places(LOG, each("transform: {sql: SELECT day FROM chunk}"), again)
    assert twice == [
        ("duplicate_step", "steps[1].dispatch.steps[0].key"),
        ("duplicate_step", "steps[2].dispatch.steps[0].key"),
    ]


@pytest.mark.parametrize("key", ["chunk", "steps", "records", "succeeded", "failed", "skipped"])
def test_keys_inside_that_mean_something_else(key: str) -> None:
    dispatch = each("transform: {sql: SELECT day FROM chunk}").replace("s0", key)
    assert places(LOG, dispatch) == [("reserved_key", f"{FIRST}.key")]


def test_chunk_is_no_key_at_the_top_but_the_names_of_counts_are() -> None:
    assert places("  - {key: chunk, transform: {sql: SELECT 1 AS n}}") == [("reserved_key", "steps[0].key")]
    assert places("  - {key: failed, transform: {sql: SELECT 1 AS n}}") == []


# The dispatch itself --------------------------------------------------------------------------------

BODY = "steps: [{key: s, transform: {sql: SELECT 1 AS n FROM chunk}}]"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (f"over: logs, key: [day], {BODY}", ("unknown_step", "dispatch.over")),
        (f"over: each, key: [day], {BODY}", ("not_a_table", "dispatch.over")),
        (f"over: s, key: [day], {BODY}", ("not_a_table", "dispatch.over")),
        (f"over: log, key: [day, site], {BODY}", ("unknown_column", "dispatch.key[1]")),
        (f"over: log, key: [], {BODY}", ("invalid_value", "dispatch.key")),
        (f"over: log, {BODY}", ("missing_key", "dispatch.key")),
        (f"key: [day], {BODY}", ("missing_key", "dispatch.over")),
        (f"over: 5, key: [day], {BODY}", ("invalid_value", "dispatch.over")),
        (f"over: Log, key: [day], {BODY}", ("invalid_value", "dispatch.over")),
        (f"over: {{fetch: {{connector: erp}}}}, key: [day], {BODY}",
         ("missing_key", "dispatch.over.fetch.operation")),
        (f"over: {{fetch: {{connector: erp, operation: x}}}}, key: [day], {BODY}",
         ("unknown_operation", "dispatch.over.fetch.operation")),
        (f"over: {{fetch: {{connector: erp, operation: labour_rate}}}}, key: [day], {BODY}",
         ("wrong_verb", "dispatch.over.fetch.operation")),
        (f"over: {{fetch: {{connector: worklog, operation: records, with: {{path: p, limit: x}}}}}}, "
         f"key: [a], {BODY}",
         ("invalid_parameter", "dispatch.over.fetch.with.limit")),
        (f"over: {{fetch: {{connector: worklog, operation: records, with: {{path: '${{{{ chunk }}}}'}}}}}}, "
         f"key: [a], {BODY}",
         ("unknown_name", "dispatch.over.fetch.with")),
        (f"over: {{fetch: {{connector: erp, operation: labour_rates}}}}, key: [day], {BODY}",
         ("unknown_column", "dispatch.key[0]")),
        ("over: log, key: [day]", ("invalid_value", "dispatch")),
        ("over: log, key: [day], steps: []", ("invalid_value", "dispatch.steps")),
        (f"over: log, key: [day], workflow: child, {BODY}", ("invalid_value", "dispatch")),
        (f"over: log, key: [day], inputs: {{a: 1}}, {BODY}", ("not_here", "dispatch.inputs")),
        (f"over: log, key: [day], version: latest, {BODY}", ("not_here", "dispatch.version")),
        ("over: log, key: [day], workflow: child, inputs: {project: a}, batch: 2",
         ("not_here", "dispatch.batch")),
        (f"over: log, key: [day], batch: 101, {BODY}", ("invalid_value", "dispatch.batch")),
        (f"over: log, key: [day], concurrency: 0, {BODY}", ("invalid_value", "dispatch.concurrency")),
        (f"over: log, key: [day], on_failure: fail, {BODY}", ("invalid_value", "dispatch.on_failure")),
        (f"over: log, key: [day], tolerate: 5 percent, {BODY}", ("invalid_value", "dispatch.tolerate")),
        (f"over: log, key: [day], tolerate: 101%, {BODY}", ("invalid_value", "dispatch.tolerate")),
        (f"over: log, key: [day], retry: {{}}, {BODY}", ("unknown_key", "dispatch.retry")),
        ("over: log, key: [day], workflow: chidl", ("unknown_workflow", "dispatch.workflow")),
        ("over: log, key: [day], workflow: child", ("missing_input", "dispatch.inputs")),
        ("over: log, key: [day], workflow: child, inputs: {project: a, rows: '${{ chunk.hours }}'}",
         ("invalid_input", "dispatch.inputs.rows")),
        ("over: log, key: [day], workflow: child, inputs: {project: '${{ chunk.site }}'}",
         ("expression_type", "dispatch.inputs.project")),
        ("over: log, key: [day], workflow: w", ("workflow_cycle", "dispatch.workflow")),
    ],
)  # fmt: skip
def test_each_fault_of_a_dispatch_stands_alone_in_its_place(body: str, fault: tuple[str, str]) -> None:
    assert over(body) == [(fault[0], f"steps[1].{fault[1]}")]


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        ("retry: {attempts: 2}", "not_here"),
        ("emits: cost_line", "not_here"),
        ("reconcile: {records: log.records}", "not_here"),
        ("sensitive: [site]", "unknown_column"),
        ("measures: {succeeded: count(*)}", "reserved_measure"),
        ("measures: {s0: count(*)}", "reserved_measure"),
        ("measures: {n: sum(site)}", "sql_binding"),
        ("measures: {n: count(DISTINCT worker)}", "not_a_sum"),
        ("rejects: ignore", "invalid_value"),
    ],
)
def test_what_is_declared_about_a_dispatch(rest: str, code: str) -> None:
    ((found, path),) = places(LOG, each("transform: {sql: SELECT day FROM chunk}") + f"    {rest}")
    assert found == code
    assert path.startswith(f"steps[1].{rest.partition(':')[0]}")


# What comes after -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("transform: {sql: SELECT day FROM each}", ("not_a_table", "transform.sql")),
        ("transform: {sql: SELECT day FROM s0}", ("not_a_table", "transform.sql")),
        ("push: {connector: erp, operation: job_ledger, records: each, key: [day]}",
         ("not_a_table", "push.records")),
        ("transform: {sql: SELECT day FROM log}, reconcile: {records: each.s0}",
         ("unknown_measure", "reconcile.records")),
        ("transform: {sql: SELECT day FROM log}, reconcile: {records: s0.records}",
         ("unknown_measure", "reconcile.records")),
        ("logic_gate: {when: s0.records > 0}", ("unknown_name", "logic_gate.when")),
        ("logic_gate: {when: each.s1.records > 0}", ("expression_type", "logic_gate.when")),
        ("logic_gate: {when: each.s0.total > 0}", ("expression_type", "logic_gate.when")),
        ("logic_gate: {when: each.s0.top > 0}", ("expression_type", "logic_gate.when")),
        ("logic_gate: {when: each.succeeded}", ("not_a_condition", "logic_gate.when")),
        ("logic_gate: {when: 'true', otherwise: s0}", ("unknown_step", "logic_gate.otherwise")),
    ],
)  # fmt: skip
def test_what_later_steps_cannot_have_of_a_dispatch(step: str, fault: tuple[str, str]) -> None:
    steps = (LOG, each(ROWS), f"  - {{key: a, {step}}}")
    assert places(*steps) == [(fault[0], f"steps[2].{fault[1]}")]


POLICY = "  - {key: g, govern: {facts: SELECT 1 AS n, rules: [{deny: n > 1, because: No.}]}}"
WRITE = "push: {connector: erp, operation: job_ledger, records: chunk, key: [worker]}"


def test_a_policy_after_a_dispatch_that_writes_is_warned_of() -> None:
    lines = each(WRITE).replace("over: log", "over: lines").replace("[worker, day]", "[worker]")
    found = checked(definition(LOG, LINES, lines, POLICY)).faults
    assert [(fault.code, fault.severity, fault.path) for fault in found] == [
        ("write_before_govern", "warning", "steps[3]")
    ]
    assert found[0].message == "'s0' writes before 'g' decides."


def test_a_policy_after_a_dispatch_that_only_reads_is_not() -> None:
    assert places(LOG, each("transform: {sql: SELECT day FROM chunk}"), POLICY) == []


def test_a_policy_inside_comes_before_the_write_inside() -> None:
    policy = "govern: {facts: SELECT 1 AS n, rules: [{deny: n > 1, because: No.}]}"
    lines = each(WRITE, policy).replace("over: log", "over: lines").replace("[worker, day]", "[worker]")
    assert places(LOG, LINES, lines) == [("write_before_govern", "steps[2].dispatch.steps[1]")]


# One mistake, one fault -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "following",
    [
        "  - {key: g, logic_gate: {when: each.s0.records > 0}}",
        "  - {key: g, logic_gate: {when: steps.each.s0.records > 0}}",
        "  - {key: a, transform: {sql: SELECT day FROM s0}}",
        "  - {key: g, logic_gate: {when: 'true', otherwise: s0}}",
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_a_step_inside_that_cannot_be_read_is_one_fault(following: str, alone: bool) -> None:
    sound = [] if alone else ["transform: {sql: SELECT n FROM s0}"]
    dispatch = each("transfrom: {sql: SELECT 1}", *sound).replace("SELECT 1}}", "SELECT 1}} # here")
    text = definition(LOG, dispatch, following)
    found = checked(text).faults
    assert [(fault.code, fault.line) for fault in found] == [("unknown_key", line_of(text))]
    assert found[0].path == "steps[1].dispatch.steps[0].transfrom"
    assert found[0].hint == "Did you mean 'transform'?"


def test_steps_are_named_by_their_place_although_others_were_left_out() -> None:
    wrong = ("  - {key: a, transfrom: {}}", "  - {key: b}")
    inner = each("retry: {}", "transform: {sql: SELECT x FROM chunk}", "lookup: {}", "fetch: {}")
    assert places(*wrong, LOG, inner) == [
        ("unknown_key", "steps[0].transfrom"),
        ("invalid_value", "steps[1]"),
        ("invalid_value", "steps[3].dispatch.steps[0]"),
        ("sql_binding", "steps[3].dispatch.steps[1].transform.sql"),
        ("missing_key", "steps[3].dispatch.steps[2].lookup.connector"),
        ("missing_key", "steps[3].dispatch.steps[2].lookup.operation"),
        ("missing_key", "steps[3].dispatch.steps[3].fetch.connector"),
        ("missing_key", "steps[3].dispatch.steps[3].fetch.operation"),
    ]


def test_what_follows_a_fault_inside_is_looked_for_in_its_place() -> None:
    """The first step inside is left out at once, the second only when its misspelt key was."""
    inner = each("fetch: {operation: x}", "transfrom: {}", "transform: {sql: SELECT day FROM chunk}")
    assert places(LOG, inner) == [
        ("missing_key", f"{FIRST}.fetch.connector"),
        ("unknown_key", "steps[1].dispatch.steps[1].transfrom"),
    ]


def test_faults_of_three_rounds_hide_no_others() -> None:
    """A misspelt key, a step without a verb because of it, and a dispatch that says too much."""
    inner = each("transfrom: {}", "transform: {sql: SELECT day FROM chunk}") + "      workflow: child\n"
    last = "  - {key: a, transform: {sql: SELECT x FROM log}}"
    assert places(LOG, inner, last) == [
        ("invalid_value", "steps[1].dispatch"),
        ("unknown_key", "steps[1].dispatch.steps[0].transfrom"),
        ("sql_binding", "steps[2].transform.sql"),
    ]


def test_a_generator_fetches() -> None:
    assert over(f"over: {{lookup: {{connector: erp}}}}, key: [day], {BODY}") == [
        ("missing_key", "steps[1].dispatch.over.fetch"),
        ("unknown_key", "steps[1].dispatch.over.lookup"),
    ]


def test_a_misspelt_steps_is_one_fault() -> None:
    assert over(f"over: log, key: [day], {BODY.replace('steps', 'stesp')}") == [
        ("unknown_key", "steps[1].dispatch.stesp")
    ]


def test_a_credential_inside_is_found() -> None:
    inner = each("fetch: {connector: worklog, operation: records, with: {path: 'a?sig=x'}}")
    assert places(LOG, inner) == [("secret_literal", f"{FIRST}.fetch.with.path")]
    child = "over: log, key: [day], workflow: child, inputs: {project: 'Bearer abcdef0123456789abc'}"
    assert over(child) == [("secret_literal", "steps[1].dispatch.inputs.project")]
