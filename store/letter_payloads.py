"""The record of a dead letter, sealed with all that another run needs to take it up."""

import json
from dataclasses import dataclass
from uuid import UUID

from kernel.records import Column, Record, Records
from store.envelope import Envelope
from workflows.rows import from_json, to_json


@dataclass(frozen=True)
class Payload:
    """A record with its columns and the names of those that are sensitive."""

    columns: tuple[Column, ...]
    record: Record
    sensitive: frozenset[str]

    def __repr__(self) -> str:
        return f"Payload({[column.name for column in self.columns]})"


def seal(envelope: Envelope, payload: Payload, run_id: UUID) -> bytes:
    """Seal a record that the run set aside. Nothing is lost: dates and decimals survive exactly."""
    parts = {
        "columns": [[column.name, column.type] for column in payload.columns],
        "sensitive": sorted(payload.sensitive),
        "rows": to_json(Records(payload.columns, [payload.record])),
    }
    return envelope.seal_alone(json.dumps(parts, ensure_ascii=False).encode(), _about(run_id))


def unseal(envelope: Envelope, sealed: bytes, run_id: UUID) -> Payload:
    """The inverse of `seal`; `InternalError` when it was changed or moved."""
    parts = json.loads(envelope.open_alone(sealed, _about(run_id)))
    columns = tuple(Column.parse(name, kind) for name, kind in parts["columns"])
    return Payload(columns, from_json(columns, parts["rows"]).rows[0], frozenset(parts["sensitive"]))


def _about(run_id: UUID) -> str:
    return f"dead letter of {run_id}"
