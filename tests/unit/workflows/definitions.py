"""Definitions to validate: three sound steps, and one definition for each fault that validation can find."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.unit.workflows.catalogue import version
from workflows.catalogue import VersionInfo

LOG = """
  - key: log
    fetch:
      connector: worklog
      operation: records
      with:
        path: a.csv
        columns: {worker: text, day: date, hours: "decimal(6,2)", started: timestamp}
    measures: {hours: sum(hours)}
"""
LINES = """
  - key: lines
    transform:
      sql: |
        SELECT 'c' AS case_id, 'a' AS activity, worker, day AS work_date, CAST(1 AS BIGINT) AS worked_seconds,
               CAST(hours * 10 AS DECIMAL(18,2)) AS amount
        FROM log ORDER BY worker, day
    measures: {amount: sum(amount)}
"""
POST = """
  - key: post
    push: {connector: erp, operation: job_ledger, records: lines, key: [worker, work_date]}
"""


def runs(key: str, *others: str, **more: Any) -> dict[str, Any]:
    """A definition that only runs other workflows."""
    steps = [{"key": f"r{number}", "run": {"workflow": other}} for number, other in enumerate(others)]
    return {"workflow": key, "steps": steps or [{"key": "a", "transform": {"sql": "SELECT 1 AS n"}}], **more}


CHILD = runs(
    "child",
    inputs={
        "project": {"type": "text"},
        "limit": {"type": "decimal", "default": "5.00"},
        "rows": {"type": "integer", "required": False},
    },
    steps=[
        {
            "key": "rates",
            "fetch": {"connector": "erp", "operation": "labour_rates"},
            "measures": {"dearest": "max(hourly_rate)"},
        },
        {"key": "ok", "logic_gate": {"when": "rates.records > 0"}},
        {
            "key": "out",
            "push": {"connector": "erp", "operation": "o", "records": "rates", "key": ["activity"]},
        },
    ],
)
"""Reads rates and writes them; needs a project."""
PUBLISHED: Mapping[str, list[VersionInfo]] = {
    "child": [version(CHILD, 3)],
    "parent-of-w": [version(runs("parent-of-w", "w"))],
    **{f"level-{n}": [version(runs(f"level-{n}", f"level-{n + 1}"))] for n in range(2, 9)},
    "level-9": [version(runs("level-9"))],
}
"""Other workflows: a leaf, one that runs the tested one, and a chain of eight."""


def definition(*steps: str, inputs: str = "") -> str:
    """A workflow of these steps. The line of an expected fault ends with `# here`."""
    top = f"workflow: w\ninputs: {{{inputs}}}\nsteps:\n"
    return top + "".join(step.lstrip("\n").rstrip() + "\n" for step in steps)


def line_of(text: str, mark: str = "# here") -> int:
    """The line that ends with the mark."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.endswith(mark))


def each(*steps: str, rest: str = "") -> str:
    """A dispatch over the work log with these steps, `s0`, `s1` and so on; `rest` goes between."""
    inner = "".join(f"        - {{key: s{number}, {step}}}\n" for number, step in enumerate(steps))
    head = "  - key: each\n    dispatch:\n      over: log\n      key: [worker, day]\n"
    return f"{head}{rest}      steps:\n{inner}"


# One definition for each code: whole texts, or steps, with the place that the fault must name.
TEXTS: dict[str, tuple[str, str]] = {
    "empty": ("", ""),
    "too_large": ("#" * 300_000, ""),
    "syntax": ("workflow: w\nsteps: [", ""),
    "not_a_mapping": ("- workflow: w # here", ""),
    "duplicate_key": (definition(LOG) + "workflow: w # here", "workflow"),
    "invalid_value": (definition(LOG).replace("workflow: w", "workflow: Weekly costs # here"), "workflow"),
    "invalid_default": (
        definition(LOG).replace("inputs: {}", 'inputs:\n  n: {type: decimal, default: "x"} # here'),
        "inputs.n.default",
    ),
}
ASKING = "approve: n > 0, by: [finance-controllers], because: Large"


def asks(rule: str = ASKING, key: str = "g") -> str:
    """A step that asks people."""
    return f"  - {{key: {key}, govern: {{facts: SELECT 1 AS n, rules: [{{{rule}}}]}}}}"


STEPS: dict[str, tuple[tuple[str, ...], str]] = {
    "escalation": (
        (LOG, LINES, asks(ASKING + ", on_timeout: escalate") + " # here", POST),
        "steps[2].govern.rules[0].on_timeout",
    ),
    "reminder": (
        (LOG, LINES, asks(ASKING + ", due: 2h, remind: 2h") + " # here", POST),
        "steps[2].govern.rules[0].remind",
    ),
    "guards_nothing": ((LOG, LINES, asks() + " # here"), "steps[2].govern"),
    "unbound_write": ((LOG, asks() + " # here", LINES, POST), "steps[1].govern"),
    "unknown_key": ((LOG, "  - {key: a, transfrom: {sql: SELECT 1}} # here"), "steps[1].transfrom"),
    "missing_key": ((LOG, "  - {key: a, fetch: {operation: records}} # here"), "steps[1].fetch.connector"),
    "secret_literal": (
        ("  - {key: a, fetch: {connector: worklog, operation: records, with: {path: 'a?sig=x'}}} # here",),
        "steps[0].fetch.with.path",
    ),
    "duplicate_step": (
        ("  - {key: b, transform: {sql: SELECT 1 AS n}}", "  - {key: b, transform: {sql: SELECT 1 AS n}}"),
        "steps[0].key",
    ),
    "reserved_key": (("  - {key: inputs, transform: {sql: SELECT 1 AS n}} # here",), "steps[0].key"),
    "unknown_step": (
        (LOG, "  - {key: a, transform: {sql: SELECT worker FROM logs}} # here"),
        "steps[1].transform.sql",
    ),
    "forward_reference": (
        ("  - {key: a, transform: {sql: SELECT worker FROM log}} # here", LOG),
        "steps[0].transform.sql",
    ),
    "backward_reference": (
        (LOG, "  - {key: g, logic_gate: {when: log.records > 0, otherwise: log}} # here"),
        "steps[1].logic_gate.otherwise",
    ),
    "bypassed_step": (
        (
            LOG,
            "  - {key: g, logic_gate: {when: log.records > 0, otherwise: post}}",
            LINES,
            POST.replace("- key: post", "- key: post # here"),
        ),
        "steps[3]",
    ),
    "write_before_govern": (
        (
            LOG,
            LINES,
            POST,
            "  - {key: g, govern: {facts: SELECT 1 AS n, rules: [{deny: n > 1, because: No.}]}} # here",
        ),
        "steps[3]",
    ),
    "unknown_connector": (
        ("  - {key: a, fetch: {connector: worklogs, operation: records}} # here",),
        "steps[0].fetch.connector",
    ),
    "unknown_operation": (
        ("  - {key: a, fetch: {connector: erp, operation: labour_rat}} # here",),
        "steps[0].fetch.operation",
    ),
    "wrong_verb": (
        ("  - {key: a, fetch: {connector: erp, operation: labour_rate}} # here",),
        "steps[0].fetch.operation",
    ),
    "invalid_parameter": (
        ("  - {key: a, fetch: {connector: worklog, operation: records, with: {path: p, limit: x}}} # here",),
        "steps[0].fetch.with.limit",
    ),
    "unknown_column": (
        (LOG, LINES, POST.replace("work_date]}", "day]} # here")),
        "steps[2].push.key[1]",
    ),
    "missing_column": (
        (LOG, LINES.replace(" worker,", ""), POST.replace("[worker, work_date]}", "[work_date]} # here")),
        "steps[2].push.records",
    ),
    "type_mismatch": (
        (LOG, LINES.replace("DECIMAL(18,2)", "VARCHAR").replace("sum(amount)", "count(amount)"),
         POST.replace("date]}", "date]} # here")),
        "steps[2].push.records",
    ),
    "unknown_object_type": (
        (LOG, "  - {key: a, transform: {sql: SELECT worker FROM log}, emits: cost_lines} # here"),
        "steps[1].emits",
    ),
    "sql_syntax": ((LOG, "  - {key: a, transform: {sql: SELECT FROM log}} # here"), "steps[1].transform.sql"),
    "sql_statement": (
        (LOG, "  - {key: a, transform: {sql: DELETE FROM log}} # here"),
        "steps[1].transform.sql",
    ),
    "sql_statements": (
        (LOG, '  - {key: a, transform: {sql: "SELECT 1 AS n; SELECT 2 AS n"}} # here'),
        "steps[1].transform.sql",
    ),
    "sql_function": (
        (LOG, '  - {key: a, transform: {sql: "SELECT random() AS r FROM log"}} # here'),
        "steps[1].transform.sql",
    ),
    "sql_access": (
        (LOG, "  - {key: a, transform: {sql: SELECT * FROM read_csv('a.csv')}} # here"),
        "steps[1].transform.sql",
    ),
    "sql_binding": (
        (LOG, "  - {key: a, transform: {sql: SELECT wroker FROM log}} # here"),
        "steps[1].transform.sql",
    ),
    "sql_columns": (
        (LOG, '  - {key: a, transform: {sql: "SELECT worker, day AS Worker FROM log"}} # here'),
        "steps[1].transform.sql",
    ),
    "sql_type": (
        (LOG, "  - {key: a, transform: {sql: SELECT CAST(hours AS DOUBLE) AS h FROM log}} # here"),
        "steps[1].transform.sql",
    ),
    "expression_syntax": (
        (LOG, "  - {key: g, logic_gate: {when: log.records >}} # here"),
        "steps[1].logic_gate.when",
    ),
    "expression_type": (
        (LOG, "  - {key: g, logic_gate: {when: log.records == log.rows}} # here"),
        "steps[1].logic_gate.when",
    ),
    "unknown_name": (
        (LOG, "  - {key: g, logic_gate: {when: logs.records > 0}} # here"),
        "steps[1].logic_gate.when",
    ),
    "not_a_condition": (
        (LOG, "  - {key: g, logic_gate: {when: log.records}} # here"),
        "steps[1].logic_gate.when",
    ),
    "no_records": (
        (LOG, "  - {key: g, logic_gate: {when: log.records > 0}, measures: {n: count(*)}} # here"),
        "steps[1].measures.n",
    ),
    "measure_type": (
        (LOG.replace("sum(hours)}", "max(worker)} # here"),),
        "steps[0].measures.hours",
    ),
    "outside_chunk": (
        (LOG, each("transform: {sql: SELECT worker FROM log}").rstrip() + " # here"),
        "steps[1].dispatch.steps[0].transform.sql",
    ),
    "not_a_table": (
        (LOG, each("transform: {sql: SELECT worker FROM chunk}"),
         "  - {key: a, transform: {sql: SELECT 1 AS n FROM each}} # here"),
        "steps[2].transform.sql",
    ),
    "nested_dispatch": (
        (LOG, each("run: {workflow: child, inputs: {project: p}}").rstrip() + " # here"),
        "steps[1].dispatch.steps[0].run",
    ),
    "not_here": (
        (LOG, each("transform: {sql: SELECT worker FROM chunk}") + "    retry: {attempts: 2} # here"),
        "steps[1].retry",
    ),
    "reserved_measure": (
        (LOG, each("transform: {sql: SELECT worker FROM chunk}") + "    measures: {failed: count(*)} # here"),
        "steps[1].measures.failed",
    ),
    "not_a_sum": (
        (LOG, each("transform: {sql: SELECT worker FROM chunk}") + "    measures: {top: max(hours)} # here"),
        "steps[1].measures.top",
    ),
    "unknown_workflow": (("  - {key: r, run: {workflow: chidl}} # here",), "steps[0].run.workflow"),
    "unknown_input": (
        ("  - {key: r, run: {workflow: child, inputs: {project: p, site: s}}} # here",),
        "steps[0].run.inputs.site",
    ),
    "missing_input": (
        ("  - {key: r, run: {workflow: child, inputs: {rows: 5}}} # here",),
        "steps[0].run.inputs",
    ),
    "invalid_input": (
        ("  - {key: r, run: {workflow: child, inputs: {project: p, rows: many}}} # here",),
        "steps[0].run.inputs.rows",
    ),
    "workflow_cycle": (("  - {key: r, run: {workflow: parent-of-w}} # here",), "steps[0].run.workflow"),
    "too_many_levels": (("  - {key: r, run: {workflow: level-2}} # here",), "steps[0].run.workflow"),
    "unknown_measure": (
        (LOG, "  - {key: a, transform: {sql: SELECT day FROM log}, reconcile: {records: log.rows}} # here"),
        "steps[1].reconcile.records",
    ),
}  # fmt: skip


def fault_cases() -> Iterator[tuple[str, str, str]]:
    """Code, definition and path of each."""
    for code, (text, path) in TEXTS.items():
        yield code, text, path
    for code, (steps, path) in STEPS.items():
        yield code, definition(*steps), path
