"""Workflows over sensitive records, each of which goes another way."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tests.support.erp_server.client import ErpServer
from tests.support.rest_connectors import pushes, sinks

COLUMNS = {
    "project": "text", "worker": "text", "national": "text", "born": "date", "salary": "decimal(12,2)",
}  # fmt: skip
PERSON = {
    "type": "object",
    "properties": {
        "salary": {"type": "number", "maximum": 900000},
        "worker": {"type": "string", "not": {"const": "nobody"}},
    },
}

BASE = """
workflow: good
inputs: {file: {type: text}}
steps:
  - key: people
    fetch:
      connector: worklog
      operation: records
      with:
        path: "${{ inputs.file }}"
        columns: {project: text, worker: text, national: text, born: date, salary: "decimal(12,2)"}
    sensitive: [worker, national, born, salary]
  - key: lines
    transform:
      sql: |
        SELECT project, worker, national, born, salary, worker || '/' || national AS label
        FROM people ORDER BY project
    emits: person
    rejects: dead_letter
  - key: any
    logic_gate: {when: "lines.records > 0", otherwise: end}
  - key: limits
    govern:
      facts: SELECT count(*) AS n, max(worker) AS who, max(salary) AS salary FROM lines
      rules: [{deny: "n > 100", because: "Too many, such as ${{ who }} with ${{ salary }}."}]
  - key: post
    push: {connector: bearer, operation: keyed, records: lines, key: [project, national]}
    retry: {attempts: 2, first: 1s, factor: 1, max: 1s, jitter: 0}
    rejects: dead_letter
  - key: again
    push: {connector: bearer, operation: searchable_batch, records: lines, key: [project, national]}
    rejects: dead_letter
"""
_STRICT = ("rejects: dead_letter", "rejects: fail")


def _into(connector: str) -> tuple[str, str]:
    return "connector: bearer, operation: keyed", f"connector: {connector}, operation: persons"


_CHANGES: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "good": (),
        "strict": (_STRICT,),
        "bad-file": (('path: "', 'path: "gone-'),),
        "bad-column": (('salary: "decimal(12,2)"}', "salary: integer}"),),
        "bad-cast": (("born, salary, worker ||", "born, CAST(worker AS INTEGER) AS salary, worker ||"),),
        "bad-gate": (("lines.records > 0", "lines.records / (lines.records - lines.records) > 0"),),
        "denied": (("n > 100", "who.startsWith('Zeb') || salary > 100"),),
        "asked": (('deny: "n > 100",', 'approve: "n > 0", by: [finance-controllers],'),),
        "doubtful": (("operation: keyed,", "operation: sink,"),),
        "unkeyed": (("key: [project, national]", "key: [worker]"),),
        "wrong-files": (("connector: worklog", "connector: wrong-files"),),
        "wrong-sql": (_into("wrong-sql"),),
        "refusing-sql": (_into("sql"), _STRICT),
    }
)  # fmt: skip
_READ = """
workflow: {key}
inputs: {{file: {{type: text}}}}
steps:
  - key: people
    {verb}: {{connector: {connector}, operation: {operation}}}
    sensitive: [worker, national, born, salary]
"""
AUTHS = ("bearer", "basic", "header", "oauth")
READS = (
    *((f"fetch-{connector}", "fetch", connector, "people") for connector in AUTHS),
    *((f"lookup-{connector}", "lookup", connector, "line") for connector in AUTHS),
    ("lookup-person", "lookup", "bearer", "person"),
    ("fetch-misfit", "fetch", "bearer", "misfits"),
    ("fetch-sql", "fetch", "sql", "casts"),
    ("fetch-wrong-sql", "fetch", "wrong-sql", "casts"),
)


def definitions() -> Mapping[str, str]:
    """All workflows by key."""
    made = {}
    for key, changes in _CHANGES.items():
        text = BASE.replace("workflow: good", f"workflow: {key}")
        for before, after in changes:
            assert before in text, before
            text = text.replace(before, after)
        made[key] = text
    names = ("key", "verb", "connector", "operation")
    return made | {read[0]: _READ.format(**dict(zip(names, read, strict=True))) for read in READS}


def connectors(erp: ErpServer, sql: Mapping[str, Any]) -> Mapping[str, dict[str, Any]]:
    """All connectors by key. `sql` says where the ERP's database is."""
    oauth = {"token_url": f"{erp.url}/oauth/token", "client_id": "sluice"}
    auths: Mapping[str, tuple[Any, dict[str, str]]] = {
        "bearer": ("bearer", {"token": "bearer-token"}),
        "basic": ({"basic": "sluice"}, {"password": "basic-password"}),
        "header": ({"header": "X-Api-Key"}, {"api_key": "header-key"}),
        "oauth": ({"oauth": oauth}, {"client_secret": "client-secret"}),
    }
    rest = {"base_url": erp.url, "timeout": 5, "errors": {"message": "error.message"}, "operations": _rest()}
    made: dict[str, dict[str, Any]] = {
        key: {"system": "rest", "settings": {**rest, "auth": auth}, "secrets": secrets}
        for key, (auth, secrets) in auths.items()
    }
    for key, secret in (("sql", "sql-password"), ("wrong-sql", "wrong-sql-password")):
        settings = {"dialect": "postgresql", **sql, "operations": _sql()}
        made[key] = {"system": "sql", "settings": settings, "secrets": {"password": secret}}
    for key, secret in (("worklog", "files-connection"), ("wrong-files", "wrong-files-connection")):
        made[key] = {"system": "files", "settings": {"container": "files"}, "secrets": {"connection": secret}}
    return made


def _rest() -> dict[str, Any]:
    pages = {"style": "offset_limit", "offset": "start", "limit": "size", "size": 2, "total": "total"}
    fetch = {"items": "items", "pages": pages, "columns": COLUMNS}
    return {
        **pushes(COLUMNS),
        **sinks(COLUMNS),
        "people": {"fetch": "/pages/offset_limit/people", **fetch},
        "misfits": {"fetch": "/pages/offset_limit/misfits", **fetch},
        "line": {"lookup": "/searchable/lines/none", "columns": COLUMNS},
        "person": {"lookup": "/records/people/project/P1", "columns": COLUMNS},
    }


def _sql() -> dict[str, Any]:
    return {
        "persons": {"push": "person", "columns": COLUMNS, "key_column": "line_key", "id_column": "id"},
        "casts": {
            "fetch": "SELECT CAST(worker AS integer) AS worker, project, national, born, salary FROM person",
            "columns": {**COLUMNS, "worker": "integer"},
            "order_by": ["worker"],
        },
    }


SQL_TABLE = """
CREATE TABLE person (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, line_key text NOT NULL UNIQUE,
    project text, worker text, national text, born date, salary numeric CHECK (salary < 0)
);
INSERT INTO person (line_key, worker) VALUES ('x', '{worker}');
"""
