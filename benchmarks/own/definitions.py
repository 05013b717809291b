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
      sql: |{priced}
  - key: post
    push: {{connector: desk, operation: post, records: priced, key: [unit]}}
    retry: {{attempts: 2, first: 1h, max: 1h, jitter: 0}}
"""

LINE_COLUMNS = {
    "unit": "text",
    "line": "integer",
    "project": "text",
    "day": "text",
    "minutes": "integer",
    "rate": "integer",
}

# `line` is what `work.record` makes. While the gate is closed rows of runs that are to wait are refused
# as if somebody had locked the table.
SCHEMA = """
CREATE TYPE source_record AS (line bigint, project text, day text, minutes bigint, rate bigint);
CREATE FUNCTION line(n bigint) RETURNS source_record LANGUAGE sql IMMUTABLE AS $$
    SELECT n, 'P-' || to_char(n % 5, 'FM0000'), '2026-03-' || to_char(n % 28 + 1, 'FM00'), 15 + n % 480,
           6000 + n % 40
$$;
CREATE TABLE line AS SELECT (line(n)).* FROM generate_series(0, 19) AS n;
CREATE TABLE gate (closed boolean NOT NULL);
INSERT INTO gate VALUES (false);
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT closed FROM gate) THEN RAISE EXCEPTION 'closed' USING ERRCODE = '55P03'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pass BEFORE INSERT ON sink
    FOR EACH ROW WHEN (NEW.unit LIKE 'wait-%') EXECUTE FUNCTION pass();
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
    return _SINGLE.format(key=RUN, priced=_PRICED)


def wait_definition() -> str:
    """The same under another name, so that its runs can be told apart."""
    return _SINGLE.format(key=WAIT, priced=_PRICED)
