"""Sealed pipeline context between a run's segments: compressed, encrypted under the run's own key."""

import json
import zlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kernel.errors import NotFound
from kernel.records import Column, Records
from store.blobs import CONTEXT, Blobs
from store.chunk_pages import ChunkPages
from store.database import Database
from store.envelope import Envelope
from store.recent import Recent
from store.runs import RunRow, context_key, set_context_key
from workflows.context import StepOutput
from workflows.rows import from_json, to_json


class ContextStore:
    """Saves and loads what later segments need: one blob for each segment, whichever execution wrote it.

    What a run that waits for people needs then is also kept here for a while, sealed as it is: the process
    that goes on with it may be the one that has stored it. Whether that is what people have approved, the
    guards of the writes find out as ever; without the run's key nobody reads it.
    """

    def __init__(self, blobs: Blobs, envelope: Envelope) -> None:
        self._blobs = blobs
        self._envelope = envelope
        self.pages = ChunkPages(blobs, envelope)
        self._recent = Recent()

    def save(
        self, database: Database, run: RunRow, segment: int, outputs: Mapping[str, StepOutput], actor: str
    ) -> None:
        """Seal the records of those steps that have any. Saving twice replaces: a repeated segment goes on
        with what it has now, each execution of the run in blobs of its own. Raises `Conflict` when the run
        has ended."""
        self._save(database, run, _name(run.id, run.execution, segment), outputs, actor)

    def hold(
        self, database: Database, run: RunRow, step_key: str, outputs: Mapping[str, StepOutput], actor: str
    ) -> None:
        """The same for a run that waits for people at a step."""
        name = _held(run.id, run.execution, step_key)
        sealed = self._save(database, run, name, outputs, actor)
        if sealed is not None:
            self._recent.put(name, sealed)

    def keep_lines(
        self,
        database: Database,
        run: RunRow,
        approval_id: UUID,
        outputs: Mapping[str, StepOutput],
        actor: str,
    ) -> None:
        """The records that an approval is about, by the step that writes them."""
        self._save(database, run, _lines(run.id, run.execution, approval_id), outputs, actor)

    def _save(
        self, database: Database, run: RunRow, name: str, outputs: Mapping[str, StepOutput], actor: str
    ) -> bytes | None:
        kept = {
            key: (output.records, output.sensitive)
            for key, output in outputs.items()
            if output.records is not None
        }
        if not kept:
            return None
        with database.transaction(actor) as connection:
            key = context_key(connection, run.id)
            key = key or set_context_key(connection, run.id, self._envelope.new_wrapped_key())
        sealed = self._envelope.seal(key, _encode(kept), name)
        self._blobs.write(CONTEXT, name, sealed, overwrite=True)
        return sealed

    def load(self, database: Database, run: RunRow, segment: int) -> dict[str, StepOutput]:
        """What the segment before `segment` left; empty when it left nothing."""
        if segment == 0:
            return {}
        return self._load(database, run.id, _name(run.id, run.context_execution, segment - 1))

    def load_held(self, database: Database, run: RunRow) -> dict[str, StepOutput]:
        """What was there when the run began to wait for people."""
        assert run.held_step is not None
        assert run.held_execution is not None
        return self._load(database, run.id, _held(run.id, run.held_execution, run.held_step))

    def load_lines(
        self, database: Database, run_id: UUID, execution: int, approval_id: UUID
    ) -> dict[str, StepOutput]:
        """The records that an approval is about; empty once the run that asked has ended."""
        return self._load(database, run_id, _lines(run_id, execution, approval_id))

    def _load(self, database: Database, run_id: UUID, name: str) -> dict[str, StepOutput]:
        with database.reading() as connection:
            key = context_key(connection, run_id)
        if key is None:
            return {}
        try:
            sealed = self._recent.take(name) or self._blobs.read(CONTEXT, name)
        except NotFound:
            return {}
        return _decode(self._envelope.open(key, sealed, name))

    def destroy(self, run_id: UUID, execution: int) -> None:
        """Delete the blobs of the run's executions up to this one: a retry may have begun the next meanwhile.
        The caller clears the wrapped key in its own transaction."""
        for number in range(execution + 1):
            self._blobs.delete_prefix(CONTEXT, f"{run_id}/{number:04}/")


def _name(run_id: UUID, execution: int, segment: int) -> str:
    return f"{run_id}/{execution:04}/segment-{segment:04}"


def _held(run_id: UUID, execution: int, step_key: str) -> str:
    return f"{run_id}/{execution:04}/held-{step_key}"


def _lines(run_id: UUID, execution: int, approval_id: UUID) -> str:
    return f"{run_id}/{execution:04}/approval-{approval_id}"


def _encode(kept: Mapping[str, tuple[Records, frozenset[str]]]) -> bytes:
    parts = {key: _part(records, sensitive) for key, (records, sensitive) in kept.items()}
    return zlib.compress(json.dumps(parts, separators=(",", ":")).encode(), level=3)


def _part(records: Records, sensitive: frozenset[str]) -> dict[str, Any]:
    return {
        "columns": [[column.name, column.type] for column in records.columns],
        "rows": to_json(records),
        "sensitive": sorted(sensitive),
    }


def _decode(plain: bytes) -> dict[str, StepOutput]:
    parts = json.loads(zlib.decompress(plain))
    return {key: _output(part) for key, part in parts.items()}


def _output(part: Mapping[str, Any]) -> StepOutput:
    columns = tuple(Column.parse(name, kind) for name, kind in part["columns"])
    return StepOutput(records=from_json(columns, part["rows"]), sensitive=frozenset(part["sensitive"]))
