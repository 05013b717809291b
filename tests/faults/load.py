"""Records to post: a file of them, the workflow that posts it, and the keys that must identify them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import uuid4

from tests.support.rest_connectors import pushes, sinks

CONNECTOR = "books"
ENVIRONMENT = "sandbox"
COLUMNS: Mapping[str, str] = {"project": "text", "work_date": "date", "amount": "decimal(12,2)"}

LINES = """
inputs: {file: {type: text}}
steps:
  - key: lines
    fetch:
      connector: worklog
      operation: records
      with:
        path: "${{ inputs.file }}"
        columns: {project: text, work_date: date, amount: "decimal(12,2)"}
"""
"""How the workflows of this suite begin, but for their names: with the records of a load."""

_POST = """\
    measures: {{amount: sum(amount)}}
  - key: costs
    transform: {{sql: "SELECT project, work_date, amount FROM lines ORDER BY project"}}
    measures: {{records: count(*), amount: sum(amount)}}
    reconcile: {{amount: lines.amount}}
  - key: post
    push: {{connector: books, operation: {operation}, records: costs, key: [project]}}
    retry: {{attempts: {attempts}, first: 1s, factor: {factor}, max: 4s, jitter: 0}}
    rejects: dead_letter
"""


class Kind(StrEnum):
    """The ways in which a system can recognise a second write; see `adapters.contract.Idempotency`."""

    NATIVE = "native"
    LOOKUP = "lookup"
    NONE = "none"

    @property
    def resource(self) -> str:
        """The ERP's resource of that kind."""
        return {Kind.NATIVE: "keyed", Kind.LOOKUP: "searchable", Kind.NONE: "sink"}[self]

    @property
    def operation(self) -> str:
        """The connector's operation, which writes in batches."""
        return f"{self.resource}_batch"

    @property
    def workflow(self) -> str:
        """The workflow that posts so."""
        return f"post-{self}"

    def definition(self, attempts: int = 5, factor: int = 2) -> str:
        """The workflow's definition."""
        post = _POST.format(operation=self.operation, attempts=attempts, factor=factor)
        return f"workflow: {self.workflow}{LINES}{post}"


@dataclass(frozen=True)
class Load:
    """`size` records that nobody else posts."""

    kind: Kind
    size: int
    name: str

    @property
    def projects(self) -> list[str]:
        """What tells the records apart."""
        return [f"{self.name}-{number:05}" for number in range(self.size)]

    @property
    def keys(self) -> dict[str, str]:
        """Projects by idempotency key, derived here as DESIGN section 10 says and not by the product."""
        identity = [CONNECTOR, ENVIRONMENT, self.kind.operation]
        return {_key([*identity, [project]]): project for project in self.projects}

    def csv(self) -> bytes:
        """The file."""
        rows = [f"{project},2026-03-31,{number}.25" for number, project in enumerate(self.projects)]
        return "\n".join([",".join(COLUMNS), *rows, ""]).encode()


def new_load(kind: Kind, size: int = 500) -> Load:
    """Records with a name that was never used."""
    return Load(kind, size, f"P{uuid4().hex[:8]}")


def connector(url: str, *, batch_size: int = 5, timeout: float = 5, **changes: Any) -> dict[str, Any]:
    """The connector to the ERP at `url`, as the API takes it. `changes` go into each operation."""
    operations = {**pushes(COLUMNS), **sinks(COLUMNS)}
    batches = {
        kind.operation: {**operations[kind.operation], "batch_size": batch_size, **changes} for kind in Kind
    }
    settings = {"base_url": url, "timeout": timeout, "errors": {"message": "error.message"}}
    return {"system": "rest", "settings": {**settings, "operations": batches}, "secrets": {}}


def _key(parts: list[Any]) -> str:
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
