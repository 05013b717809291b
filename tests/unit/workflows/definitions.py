"""Definitions to validate: three sound steps, and one definition for each fault that validation can find."""

from collections.abc import Iterator

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


def definition(*steps: str, inputs: str = "") -> str:
    """A workflow of these steps. The line of an expected fault ends with `# here`."""
    top = f"workflow: w\ninputs: {{{inputs}}}\nsteps:\n"
    return top + "".join(step.lstrip("\n").rstrip() + "\n" for step in steps)


def line_of(text: str, mark: str = "# here") -> int:
    """The line that ends with the mark."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.endswith(mark))


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
STEPS: dict[str, tuple[tuple[str, ...], str]] = {
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
