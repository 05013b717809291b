"""The work as workflows of this engine, and the connector that they use."""

from typing import Any

CONNECTOR = "desk"
RUN, WAIT = "bench-run", "bench-wait"

_PRICED = """
        SELECT unit, '[' || string_agg(
            '{"line":' || line || ',"project":"' || project || '","day":"' || day || '","amount":'
            || ((minutes * rate + 30) // 60) || '}', ',' ORDER BY line) || ']' AS payload
        FROM lines GROUP BY unit
"""

_SINGLE = """
workflow: {key}
inputs: {{unit: {{type: text}}}}
steps:
  - key: lines
    fetch: {{connector: desk, operation: lines, with: {{unit: "${{{{ inputs.unit }}}}"}}}}
  - key: priced
    transform:
      sql: |{priced}{between}
  - key: post
    push: {{connector: desk, operation: post, records: priced, key: [unit]}}
"""

_APPROVE = """
  - key: allow
    govern:
      facts: SELECT count(*) AS units FROM priced
      rules:
        - approve: units > 0
          by: [finance-controllers]
          due: 48h
          because: This is to be looked at.
"""

LINE_COLUMNS = {
    "unit": "text",
    "line": "integer",
    "project": "text",
    "day": "text",
    "minutes": "integer",
    "rate": "integer",
}

# `line` is what `work.record` makes.
SCHEMA = """
CREATE TYPE source_record AS (line bigint, project text, day text, minutes bigint, rate bigint);
CREATE FUNCTION line(n bigint) RETURNS source_record LANGUAGE sql IMMUTABLE AS $$
    SELECT n, 'P-' || to_char(n % 5, 'FM0000'), '2026-03-' || to_char(n % 28 + 1, 'FM00'), 15 + n % 480,
           6000 + n % 40
$$;
CREATE TABLE line AS SELECT (line(n)).* FROM generate_series(0, 19) AS n;
"""

_LINES = "SELECT :unit AS unit, line, project, day, minutes, rate FROM line"
_CHUNKS = """
    SELECT :unit || '-' || to_char(n, 'FM00000') AS unit, (line(n)).*
    FROM generate_series(0, :chunks - 1) AS n
"""


def connector(address: dict[str, Any]) -> dict[str, Any]:
    """The connector to the sink, which also holds what is fetched. `address`: host, port, database, user."""
    reads = {"columns": LINE_COLUMNS, "parameters": {"unit": "text"}, "order_by": ["line"]}
    operations = {
        "lines": {"fetch": _LINES, **reads},
        "chunks": {"fetch": _CHUNKS, **reads, "parameters": {"unit": "text", "chunks": "integer"}},
        "post": {"push": "sink", "columns": {"unit": "text", "payload": "text"}, "key_column": "key"},
    }
    settings = {"dialect": "postgresql", **address, "operations": operations}
    return {"system": "sql", "settings": settings, "secrets": {"password": "desk-password"}}


def run_definition() -> str:
    """Three steps in one go."""
    return _SINGLE.format(key=RUN, priced=_PRICED, between="")


def wait_definition() -> str:
    """The same, with an approval of exactly what is pushed before that."""
    return _SINGLE.format(key=WAIT, priced=_PRICED, between=_APPROVE)
