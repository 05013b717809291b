"""A catalogue by hand: the systems of the example, and what an engine and a valid definition need besides."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from kernel.records import Column, parse_columns
from kernel.verbs import Verb
from workflows.catalogue import VersionInfo
from workflows.model import Workflow
from workflows.sql import SqlEngine
from workflows.validation import Checked, validate
from workflows.version import version_hash

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = (ROOT / "examples" / "labour_costs.yaml").read_text()
DATA = Path(__file__).parent / "data"
ENGINE = SqlEngine()


class NoParameters(BaseModel):
    """An operation that takes none."""

    model_config = ConfigDict(extra="forbid")


def a_type(text: str) -> str:
    return Column.parse("c", text).type


class FileParameters(BaseModel):
    """Which file, and the types of its columns."""

    model_config = ConfigDict(extra="forbid")
    path: str
    columns: dict[str, Annotated[str, AfterValidator(a_type)]] | None = None
    row_number: str | None = None
    limit: int = 1000


class ActivityParameters(BaseModel):
    """Which activity."""

    model_config = ConfigDict(extra="forbid")
    activity: str


@dataclass(frozen=True)
class Operation:
    """One operation as an adapter declares it."""

    name: str
    verb: Verb
    parameters: type[BaseModel]
    columns: Callable[[Any], tuple[Column, ...] | None]


def file_columns(parameters: FileParameters) -> tuple[Column, ...] | None:
    if parameters.columns is None:
        return None
    numbered = {parameters.row_number: "integer"} if parameters.row_number else {}
    return parse_columns({**parameters.columns, **numbered})


RATES = parse_columns({"activity": "text", "hourly_rate": "decimal(10,2)"})
LEDGER = parse_columns(
    {
        "case_id": "text",
        "activity": "text",
        "worker": "text",
        "work_date": "date",
        "worked_seconds": "integer",
        "amount": "decimal(18,2)",
    }
)
CONNECTORS: Mapping[str, tuple[Operation, ...]] = {
    "worklog": (Operation("records", Verb.FETCH, FileParameters, file_columns),),
    "erp": (
        Operation("labour_rates", Verb.FETCH, NoParameters, lambda _given: RATES),
        Operation("labour_rate", Verb.LOOKUP, ActivityParameters, lambda _given: RATES),
        Operation("job_ledger", Verb.PUSH, NoParameters, lambda _given: LEDGER),
    ),
}


class Systems:
    """Meets `workflows.catalogue.Catalogue`. `published` has other workflows' versions by key, the active one
    last."""

    def __init__(self, published: Mapping[str, Sequence[VersionInfo]] | None = None) -> None:
        self.published = published or {}

    def connectors(self) -> Sequence[str]:
        return list(CONNECTORS)

    def operations(self, connector: str) -> Mapping[str, Operation]:
        return {operation.name: operation for operation in CONNECTORS[connector]}

    def object_types(self) -> Mapping[str, Mapping[str, Any]]:
        path = ROOT / "examples" / "object_types" / "cost_line.json"
        return {"cost_line": json.loads(path.read_text())["schema"]}

    def workflows(self) -> Sequence[str]:
        return list(self.published)

    def workflow(self, key: str, number: int | None = None) -> VersionInfo | None:
        versions = self.published.get(key, ())
        wanted = [version for version in versions if number in (None, version.number)]
        return wanted[-1] if wanted else None


def version(definition: Mapping[str, Any], number: int = 1, **pinned: int) -> VersionInfo:
    """A published version; `pinned` has the versions of its own references by step key."""
    workflow = Workflow.model_validate(definition)
    return VersionInfo(workflow, number, version_hash(workflow), pinned)


def checked(text: str, published: Mapping[str, Sequence[VersionInfo]] | None = None) -> Checked:
    """What validation says of a definition against these systems, and other workflows if there are any."""
    return validate(text, Systems(published), ENGINE)
